import { expect, test } from "vitest";
import { columnsOf, linesOf, stagesOf } from "../../../src/worker/history";

test("half a line is no line", () => {
  expect(linesOf('{"step":1}\n{"step":2}\n{"step":')).toEqual([{ step: 1 }, { step: 2 }]);
  expect(linesOf('p": 3}\n{"step":4}\n')).toEqual([{ step: 4 }]);
});

test("a column is as long as the file, with gaps where a line lacks it", () => {
  const columns = columnsOf([
    { step: 1, loss: 3 },
    { step: 2, "eval/loss": 1, note: "x" },
  ]);
  expect(columns).toEqual({
    step: Float64Array.of(1, 2),
    loss: Float64Array.of(3, Number.NaN),
    "eval/loss": Float64Array.of(Number.NaN, 1),
  });
});

test("a stage has an accuracy once it is over", () => {
  const over = { stage: "warm-start", accuracy: { mean: 0.5, stderr: 0.01 }, seconds: 27 };
  expect(stagesOf([over, { stage: "tbrm", accuracy: null, seconds: 3 }])).toEqual([
    { stage: "warm-start", mean: 0.5, stderr: 0.01 },
  ]);
  expect(stagesOf(undefined)).toEqual([]);
});
