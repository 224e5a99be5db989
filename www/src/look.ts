// What the samples of a run say, as points and colours.

import type { Sample, Scale } from "./protocol";

export interface Point {
  /** R / beta: where TBRM wants V_1 + rho to be. */
  target: number;
  /** V_1 + rho, less the reference's V_1 where the run is calibrated. */
  value: number;
  reward: number;
  sample: Sample;
}

/** A rewarded trajectory as a point: its residual is its height above the diagonal. */
export function pointOf(sample: Sample, beta: number): Point | undefined {
  const { reward, residual } = sample;
  if (typeof reward !== "number" || typeof residual !== "number") return undefined;
  const target = reward / beta;
  const value = target + residual;
  return Number.isFinite(target) && Number.isFinite(value) ? { target, value, reward, sample } : undefined;
}

/** The sum over tokens, rho = sum of advantage / beta. */
export function rhoOf(sample: Sample, beta: number): number {
  return sample.tokens.reduce((sum, token) => sum + token.advantage, 0) / beta;
}

/** The beta of a run's config.json; the demo's is that of its TBRM stage. */
export function betaOf(config: Record<string, unknown>): number | undefined {
  const demo = config.demo as { tbrm?: { beta?: unknown } } | undefined;
  const beta = config.beta ?? demo?.tbrm?.beta;
  return typeof beta === "number" && beta > 0 ? beta : undefined;
}

/** What a run's advantages are made of, beside log-probs: its config.json's, or the demo's TBRM stage's. */
export function advantageScaleOf(config: Record<string, unknown>): Scale | undefined {
  const beta = betaOf(config);
  const scale = config.logit_scale;
  return beta === undefined
    ? undefined
    : { beta, ...(typeof scale === "number" ? { logit_scale: scale } : {}) };
}

/** The largest |advantage|, which is coloured fully; never 0. */
export function scaleOf(samples: Pick<Sample, "tokens">[]): number {
  const sizes = samples.flatMap(({ tokens }) => tokens.map(({ advantage }) => Math.abs(advantage)));
  return sizes.reduce((a, b) => Math.max(a, b), 0) || 1;
}

/** How much of the colour a token gets, from 0 to 100 in steps of 5; small differences still show. */
export function strength(advantage: number, scale: number): number {
  const share = Math.sqrt(Math.min(1, Math.abs(advantage) / scale));
  return Number.isFinite(share) ? 5 * Math.round(20 * share) : 0;
}
