import { expect, test } from "vitest";
import { advantageScaleOf, betaOf, pointOf, rhoOf, scaleOf, strength } from "../../../src/look";
import type { Sample } from "../../../src/protocol";
import { axis } from "../../../src/scatter";

const sample: Sample = {
  step: 1,
  prompt: "p",
  completion: "c",
  reward: 0.5,
  residual: -1.25,
  tokens: [
    { text: "a", advantage: 0.3 },
    { text: "b", advantage: -0.1 },
  ],
};

test("a point lies its residual above the diagonal", () => {
  expect(pointOf(sample, 0.1)).toMatchObject({ target: 5, value: 3.75, reward: 0.5 });
  const { reward: _, ...unrewarded } = sample;
  expect(pointOf(unrewarded, 0.1)).toBeUndefined();
  expect(pointOf({ ...sample, residual: Number.NaN }, 0.1)).toBeUndefined();
});

test("rho is the advantages' sum over beta", () => {
  expect(rhoOf(sample, 0.1)).toBeCloseTo(2, 12);
});

test("beta is the run's, or the demo's TBRM stage's", () => {
  expect(betaOf({ beta: 0.05 })).toBe(0.05);
  expect(betaOf({ demo: { tbrm: { beta: 0.1 } } })).toBe(0.1);
  expect(betaOf({ beta: "much" })).toBeUndefined();
  expect(advantageScaleOf({ beta: 0.05, logit_scale: 2 })).toEqual({ beta: 0.05, logit_scale: 2 });
  expect(advantageScaleOf({ demo: { tbrm: { beta: 0.1 } } })).toEqual({ beta: 0.1 });
  expect(advantageScaleOf({})).toBeUndefined();
});

test("colours are full at the largest advantage, and finite", () => {
  const scale = scaleOf([sample]);
  expect(scale).toBe(0.3);
  expect(strength(-0.3, scale)).toBe(100);
  expect(strength(0, scale)).toBe(0);
  expect(strength(Number.NaN, scale)).toBe(0);
  expect(scaleOf([])).toBe(1);
});

test("an axis holds all values and has round ticks", () => {
  const { low, high, ticks, share } = axis([0, 10]);
  expect(low).toBeLessThan(0);
  expect(high).toBeGreaterThan(10);
  expect(ticks).toEqual([0, 5, 10]);
  expect(share(low)).toBe(0);
  expect(Number.isFinite(axis([3]).share(3))).toBe(true);
});
