// Drawing, at most once per animation frame, and no frame so long that a click has to wait.

const BUDGET = 8;

const wanted = new Set<() => void>();
let asked = false;

/** Calls `draw` in one of the next frames; asking again before then changes nothing. */
export function redraw(draw: () => void): void {
  wanted.add(draw);
  if (asked) return;
  asked = true;
  requestAnimationFrame(frame);
}

function frame(): void {
  const began = performance.now();
  for (const draw of wanted) {
    wanted.delete(draw);
    draw();
    if (performance.now() - began > BUDGET) break;
  }
  asked = wanted.size > 0;
  if (asked) requestAnimationFrame(frame);
}
