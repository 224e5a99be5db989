import { expect, test } from "vitest";
import { Live } from "../../../src/live";
import { ONLINE, rewardMeans } from "../../../src/metrics";
import type { Metrics } from "../../../src/protocol";
import { rewardOf, settingsOf } from "../../../src/rewards";
import { curvesOf } from "../../../src/views/progress";

test("rewards become settings and come back", () => {
  const rewards = [
    rewardOf("javascript:(record, completion) => ({a: 1}).a", 1),
    rewardOf("regex:a:b", -0.5),
    rewardOf("exact", 2),
  ];
  expect(rewards.map(({ kind, argument }) => [kind, argument])).toEqual([
    ["javascript", "(record, completion) => ({a: 1}).a"],
    ["regex", "a:b"],
    ["exact", ""],
  ]);
  expect(settingsOf(rewards)).toEqual({
    rewards: ["javascript:(record, completion) => ({a: 1}).a", "regex:a:b", "exact"],
    reward_weights: [1, -0.5, 2],
  });
  expect(settingsOf([rewardOf("math", 1)])).toEqual({ rewards: ["math"] });
});

test("an online run tells of its answers, and has curves that others have not", () => {
  const live = new Live("run", 10);
  const metrics = (more: Record<string, number>) => ({ step: 1, ...more }) as Metrics;
  live.hear({ type: "step", metrics: metrics({ reward: 0.5, "completions/mean_length": 3 }) });
  const [, length] = ONLINE;
  if (!length) throw Error("there is such a curve");
  expect(live.online).toBe(false);
  expect(curvesOf(live.stage, length)).toEqual([]);
  const more = { "completions/mean_length": 3, "rewards/exact/mean": 0.5, "rewards/exact/std": 0.1 };
  live.hear({ type: "step", metrics: metrics(more) });
  live.hear({
    type: "rollouts",
    round: 2,
    step: 1,
    completions: 32,
    tokens: 128,
    reward: 0.25,
    seconds: 1,
  });
  live.hear({ type: "measured", step: 1, "eval/reward": 0.75, "eval/reward_se": 0.1, best: true });
  expect(live.online).toBe(true);
  expect(curvesOf(live.stage, length)[0]?.values).toEqual([3]);
  expect(live.stage.columns.get("eval/reward")).toEqual([0.75]);
  expect(live.rollouts).toMatchObject({ round: 2, completions: 32 });
  // One reward is the reward.
  expect(rewardMeans(live.stage.columns.names())).toEqual([]);
  const two = rewardMeans(["rewards/exact/mean", "rewards/length/mean", "rewards/length/std"]);
  expect(two.map(({ key }) => key)).toEqual(["rewards/exact/mean", "rewards/length/mean"]);
});
