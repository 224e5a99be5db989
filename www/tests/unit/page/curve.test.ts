import { expect, test } from "vitest";
import { outline, smooth } from "../../../src/curve";

test("smoothing is corrected for its start and passes over gaps", () => {
  const values = [4, 4, Number.NaN, 4];
  expect(smooth(values, 0.9)).toEqual(
    [4, 4, Number.NaN, 4].map((x) => (Number.isNaN(x) ? x : expect.closeTo(x, 12))),
  );
  expect(smooth([1, 3], 0.5)[1]).toBeCloseTo((0.25 * 1 + 0.5 * 3) / 0.75, 12);
  expect(smooth([1, 2, 3], 0)).toEqual([1, 2, 3]);
});

test("an outline keeps both ends and every extreme, in order", () => {
  const values = Array.from({ length: 10_000 }, (_, i) => Math.sin(i / 50));
  values[4321] = 99;
  values[7654] = -99;
  const kept = outline(values, 100);
  expect(kept.length).toBeLessThanOrEqual(202);
  expect(kept).toEqual([...new Set(kept)].sort((a, b) => a - b));
  expect(kept).toEqual(expect.arrayContaining([0, 4321, 7654, 9999]));
});

test("an outline of gaps is short and does not fail", () => {
  expect(outline(Array(1000).fill(Number.NaN), 10)).toEqual([0, 999]);
  expect(outline([], 10)).toEqual([]);
});
