import { expect, test } from "vitest";
import { accuracyCurves, CompareState, LabState, RaceState } from "../../../src/lab";
import type { ArmSummary, Interval, Look, SoFar } from "../../../src/lab-protocol";
import { points, share } from "../../../src/views/lab-table";

const look = (objective: string, step: number, kl: number): { type: "looked" } & Look => ({
  type: "looked",
  objective,
  step,
  trajectories: 32 * step,
  kl,
  v1: 1,
  reward: 0.5,
});

test("a race has a curve for each contender, and lines to compare with as long as they are", () => {
  const race = new RaceState();
  expect(race.share).toBe(0);
  const racer = (objective: string, values: boolean) => ({
    objective,
    source: "logs" as const,
    values,
    exact: true,
  });
  const racers = [racer("grpo", false), racer("tbrm", true)];
  race.hear({ type: "began", trajectories: 81, log_z: 2.5, reward: 0.6, racers });
  expect(race.line("log Z", race.logZ)).toEqual([]);
  race.hear(look("grpo", 0, 0.2));
  race.hear(look("tbrm", 0, 0.2));
  race.hear({ type: "step", objective: "tbrm", step: 5, steps: 10 });
  race.hear(look("tbrm", 5, 0.1));
  expect(race.share).toBe(0.25);
  expect(race.curves("kl")).toEqual([
    { label: "grpo", steps: [0], values: [0.2], colour: 0 },
    { label: "tbrm", steps: [0, 160], values: [0.2, 0.1], colour: 1 },
  ]);
  // A colour stays whose it is, where not all are shown.
  expect(race.curves("v1", ({ values }) => values).map(({ label, colour }) => [label, colour])).toEqual([
    ["tbrm", 1],
  ]);
  expect(race.line("log Z", race.logZ)).toEqual([
    { label: "log Z", steps: [0, 160], values: [2.5, 2.5], dashed: true },
  ]);
  // Who is out has nothing left to do.
  race.hear({ type: "out", objective: "grpo", why: "its loss is not finite" });
  expect(race.share).toBe(0.75);
});

const interval = (mean: number | null, half?: number): Interval => ({
  mean,
  low: half === undefined || mean === null ? null : mean - half,
  high: half === undefined || mean === null ? null : mean + half,
});

function arm(name: string, curve: [number, Interval][]): ArmSummary {
  const nothing = interval(null);
  return {
    arm: { name },
    tuning: [],
    accuracy: nothing,
    at_common_tokens: nothing,
    difference: null,
    each: [],
    tokens: null,
    seconds: nothing,
    rollout_share: null,
    peak_bytes: 0,
    failed: 0,
    curve: curve.map(([tokens, accuracy]) => ({ tokens, accuracy })),
  };
}

const compared = (arms: ArmSummary[]): SoFar => {
  const config = { arms: arms.map(({ arm }) => arm) };
  return {
    config,
    done: 1,
    runs: 4,
    comparison: { config, start: interval(0.4), common_tokens: 100, arms },
  };
};

test("accuracy has an interval where there are seeds for one", () => {
  const arms = [
    arm("tbrm", [
      [0, interval(0.5, 0.125)],
      [99.6, interval(0.5, 0.75)],
    ]),
    arm("grpo", []),
    arm("sft", [[0, interval(0.25)]]),
  ];
  const { comparison } = compared(arms);
  expect(comparison && accuracyCurves(comparison)).toEqual([
    { label: "tbrm", steps: [0, 100], values: [50, 50], low: [37.5, 0], high: [62.5, 100], colour: 0 },
    { label: "sft", steps: [0], values: [25], colour: 2 },
  ]);
});

test("the run under way is a curve of its own, until it is part of the mean", () => {
  const state = new CompareState("id");
  state.hear({ type: "began", what: "run/grpo/seed-1", done: 1, runs: 4 });
  state.hear({ type: "compared", ...compared([arm("tbrm", [[0, interval(0.4)]]), arm("grpo", [])]) });
  const measured = { type: "measured", arm: "grpo", seed: 1 } as const;
  state.hear({ ...measured, tokens: 50, accuracy: 0.3 });
  state.hear({ ...measured, tokens: 100, accuracy: 0.6 });
  expect(state.curves().map(({ label, values, colour }) => ({ label, values, colour }))).toEqual([
    { label: "tbrm", values: [40], colour: 0 },
    { label: "grpo, seed 1 under way", values: [30, 60], colour: 1 },
  ]);
  state.hear({ type: "step", step: 5, steps: 10, loss: 1, reward: null, tokens_per_s: 1 });
  expect(state.share).toBe(1.5 / 4);
  state.hear({ type: "ended", found: "done" });
  expect(state.curves()).toHaveLength(1);
});

test("what another comparison says begins anew", () => {
  const lab = new LabState();
  lab.begin("compare");
  const began = { type: "began", what: "warm start", done: 0, runs: 2 } as const;
  lab.hear({ type: "lab", work: "compare", lab: "a", events: [began] });
  lab.hear({
    type: "lab",
    work: "compare",
    lab: "a",
    events: [{ type: "compared", ...compared([]) }],
  });
  expect(lab.compare.soFar).toBeDefined();
  lab.hear({ type: "lab", work: "compare", lab: "b", events: [began] });
  expect([lab.compare.lab, lab.compare.soFar]).toEqual(["b", undefined]);
});

test("intervals are read as a mean and half their width, and what is not known as a dash", () => {
  expect(share(interval(0.832, 0.041))).toBe("83.2% ± 4.1");
  expect(share(interval(0.832))).toBe("83.2%");
  expect(share(interval(null))).toBe("–");
  expect(points(interval(-0.02, 0.01))).toBe("−2.0 ± 1.0");
  expect(points(interval(0.02))).toBe("+2.0");
});
