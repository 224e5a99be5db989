import { expect, test } from "vitest";
import { inOrder } from "../../../src/worker/load";

const file = (path: string) => ({ path, file: new Blob([path]) });

test("data is given in the order in which the run knows it, whatever folders it lay in", async () => {
  const files = inOrder([file("b.jsonl"), file("logs/a.jsonl")], ["/home/x/a.jsonl", "C:\\y\\b.jsonl"]);
  expect(await Promise.all(files.map((blob) => blob.text()))).toEqual(["logs/a.jsonl", "b.jsonl"]);
  expect(inOrder([file("b.jsonl")], undefined)).toEqual([]);
});

test("data that is missing is named", () => {
  expect(() => inOrder([file("b.jsonl")], ["a.jsonl"])).toThrow(
    expect.objectContaining({ kind: "data", what: expect.stringContaining("a.jsonl") }),
  );
});
