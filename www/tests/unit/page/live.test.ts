import { expect, test } from "vitest";
import { Live } from "../../../src/live";
import type { Metrics, RunEvent } from "../../../src/protocol";

const step = (step: number, loss = step): RunEvent => ({ type: "step", metrics: { step, loss } as Metrics });
const stage = (stage: string, steps: number): RunEvent => ({
  type: "stage",
  stage,
  description: "Some training",
  done: 0,
  steps,
});
const live = (...events: RunEvent[]) => {
  const made = new Live("run", 10);
  for (const event of events) made.hear(event);
  return made;
};

test("an evaluation joins its step, and stands alone before the first", () => {
  const { columns } = live({ type: "evaluated", step: 0, "eval/loss": 9, best: true }, step(1), step(2), {
    type: "evaluated",
    step: 2,
    "eval/loss": 7,
    best: false,
  }).stage;
  expect(columns.steps).toEqual([0, 1, 2]);
  expect(columns.get("eval/loss")).toEqual([9, Number.NaN, 7]);
  expect(columns.get("loss")).toEqual([Number.NaN, 1, 2]);
  expect(columns.has("best")).toBe(false);
});

test("steps that come again after a resume replace those after it", () => {
  const { columns } = live(step(1), step(2), step(3), step(2, 20)).stage;
  expect(columns.steps).toEqual([1, 2]);
  expect(columns.get("loss")).toEqual([1, 20]);
});

test("a stage has its own curves, and what was recalled joins the stage that goes on", () => {
  const demo = live(stage("warm-start", 5), step(1), stage("tbrm", 9), step(1));
  expect(demo.stages.map(({ name, steps }) => [name, steps])).toEqual([
    ["warm-start", 5],
    ["tbrm", 9],
  ]);
  const resumed = new Live("run", 9);
  // Drawn before anything is known.
  expect(resumed.stage.name).toBe("");
  const columns = { step: Float64Array.of(1, 2, 3), loss: Float64Array.of(3, 2, 1) };
  resumed.recall({ columns, sampled: [], config: {}, accuracy: [] }, 2);
  resumed.hear(stage("tbrm", 9));
  resumed.hear(step(3, 30));
  expect(resumed.stages).toHaveLength(1);
  expect(resumed.stage.columns.get("loss")).toEqual([3, 2, 30]);
});

test("events of another run are not heard", () => {
  const made = new Live("run", 10);
  made.run = "mine";
  made.hearAll({ run: "other", events: [step(1)] });
  expect(made.step).toBe(0);
  made.hearAll({ run: "mine", events: [step(1)] });
  expect(made.step).toBe(1);
});

test("the accuracy after a stage is that of its last step", () => {
  const demo = live(
    stage("warm-start", 2),
    step(1),
    step(2),
    { type: "accuracy", stage: "warm-start", step: 2, mean: 0.5, stderr: 0.1, seconds: 3 },
    { type: "finished", step: 2, complete: true },
  );
  expect(demo.stage.accuracy).toEqual([{ step: 2, mean: 0.5, stderr: 0.1 }]);
  expect(demo.stage.columns.get("eval/accuracy")).toEqual([Number.NaN, 0.5]);
  expect(demo.complete).toBe(true);
});

test("answers belong to the stage that they were drawn in, and the last ones stay until there are newer", () => {
  const sample = (completion: string) => ({ step: 1, prompt: "p", completion, tokens: [] });
  const told = (step: number, completion: string): RunEvent => ({
    type: "samples",
    step,
    samples: [sample(completion)],
  });
  const demo = live(stage("tbrm", 300), told(300, "of the log"), stage("online", 100), step(1));
  expect([...demo.stage.samples.keys()]).toEqual([]);
  expect([...demo.samples.keys()]).toEqual([300]);
  demo.hear(told(100, "its own"));
  expect([...demo.samples]).toEqual([[100, [sample("its own")]]]);
});
