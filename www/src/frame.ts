// Drawing, at most once per animation frame, and no frame so long that a click has to wait.

/** Milliseconds of a frame that may go into drawing; the last one to begin may take it over this. */
const BUDGET = 8;

/** What is to be drawn, and when at the earliest. */
const wanted = new Map<() => void, number>();
const drawn = new WeakMap<() => void, number>();
let asked = false;

/** Calls `draw` in one of the next frames, but `interval` milliseconds after its last call. Asking twice is asking once. */
export function redraw(draw: () => void, interval = 0): void {
  if (!wanted.has(draw)) wanted.set(draw, (drawn.get(draw) ?? Number.NEGATIVE_INFINITY) + interval);
  if (asked) return;
  asked = true;
  requestAnimationFrame(frame);
}

/** Whether something is still to be drawn. */
export const drawing = (): boolean => asked;

function frame(now: number): void {
  const began = performance.now();
  for (const [draw, due] of wanted) {
    if (due > now) continue;
    wanted.delete(draw);
    drawn.set(draw, now);
    draw();
    if (performance.now() - began > BUDGET) break;
  }
  asked = wanted.size > 0;
  if (asked) requestAnimationFrame(frame);
}
