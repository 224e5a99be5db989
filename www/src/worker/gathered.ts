// Events on their way to the page: told together where they come fast.

/** Steps are told together when they come faster than this, in milliseconds: nobody sees more. */
const TELL_EVERY = 25;

/** What is no step is told at once, with the steps before it. */
export function gathered<E extends { type: string }>(tell: (events: E[]) => void) {
  let untold: E[] = [];
  let told = 0;
  const flush = () => {
    if (untold.length === 0) return;
    tell(untold);
    untold = [];
    told = performance.now();
  };
  const hear = (event: E) => {
    untold.push(event);
    if (event.type !== "step" || performance.now() - told >= TELL_EVERY) flush();
  };
  return { hear, flush };
}
