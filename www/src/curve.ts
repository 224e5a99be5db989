// A curve, and what becomes of its numbers before they are drawn.

export interface Curve {
  label: string;
  steps: readonly number[];
  values: readonly number[];
  /** The ends of an interval around each value. */
  low?: readonly number[];
  high?: readonly number[];
  /** Which of the theme's colours; that of its place otherwise. */
  colour?: number;
  /** A line to compare with. */
  dashed?: boolean;
}

/** Exponential moving average, corrected for its start; `weight` of the past, from 0 to below 1. NaN stays out of it. */
export function smooth(values: readonly number[], weight: number): number[] {
  let mean = 0;
  let share = 0;
  return values.map((value) => {
    if (!Number.isFinite(value)) return Number.NaN;
    mean = weight * mean + (1 - weight) * value;
    share = weight * share + (1 - weight);
    return mean / share;
  });
}

/** At most about `2 * buckets` indices of `values` whose line looks like that of all: each bucket's least and greatest. */
export function outline(values: readonly number[], buckets: number): number[] {
  if (values.length <= 2 * buckets) return values.map((_, i) => i);
  const kept: number[] = [0];
  for (let bucket = 0; bucket < buckets; bucket++) {
    const from = Math.floor((bucket * values.length) / buckets);
    const to = Math.floor(((bucket + 1) * values.length) / buckets);
    let low = -1;
    let high = -1;
    for (let i = from; i < to; i++) {
      const value = values[i] as number;
      if (!Number.isFinite(value)) continue;
      if (low < 0 || value < (values[low] as number)) low = i;
      if (high < 0 || value > (values[high] as number)) high = i;
    }
    for (const i of low < high ? [low, high] : [high, low]) {
      if (i > (kept.at(-1) as number)) kept.push(i);
    }
  }
  const last = values.length - 1;
  if (kept.at(-1) !== last) kept.push(last);
  return kept;
}
