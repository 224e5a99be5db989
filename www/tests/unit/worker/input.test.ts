import { expect, test } from "vitest";
import { within } from "../../../src/worker/archive";
import { checkpoints, isModelFile, sourceOf, specOf } from "../../../src/worker/input";
import { namesOf } from "../../../src/worker/opfs";
import type { Runs } from "../../../src/worker/runs";

const none = {} as Runs;
const file = (path: string, text = "x") => ({ path, file: new Blob([text]) });

test("of a model folder, what the trainer may want is read, whatever folder it lay in", async () => {
  const files = ["m/config.json", "m/model.safetensors", "m/pytorch_model.bin", "m/state.json"].map((path) =>
    file(path),
  );
  const spec = await specOf(
    { model: { kind: "files", files }, data: [file("logs.jsonl", "{}")], eval: [], settings: { beta: 1 } },
    none,
  );
  expect(spec.model.kind === "files" && Object.keys(spec.model.files)).toEqual([
    "config.json",
    "model.safetensors",
  ]);
  expect(spec).toMatchObject({ data: [{ name: "logs.jsonl" }], settings: { beta: 1 } });
  expect("eval" in spec).toBe(false);
  expect(["optimizer.safetensors", "weights.gguf"].map(isModelFile)).toEqual([false, false]);
});

test("what a tab cannot hold is refused before it is read", async () => {
  const file = { size: 2 ** 31, arrayBuffer: () => Promise.reject(new Error("read")) } as unknown as Blob;
  const huge = {
    model: { kind: "files" as const, files: [{ path: "model.safetensors", file }] },
    data: [],
    eval: [],
    settings: {},
  };
  await expect(specOf(huge, none)).rejects.toMatchObject({
    kind: "too-large",
    what: expect.stringContaining("2.0 GiB"),
  });
});

test("only whole checkpoints count, the newest first", () => {
  const paths = [
    "checkpoints/step_000050/state.json",
    "checkpoints/step_1000000/state.json",
    "checkpoints/step_000100/model.safetensors",
  ];
  expect(checkpoints(paths.map((path) => ({ path })))).toEqual([
    "checkpoints/step_1000000",
    "checkpoints/step_000050",
  ]);
});

test("paths stay inside their folder", () => {
  expect(namesOf("a//./b")).toEqual(["a", "b"]);
  expect(() => namesOf("a/../../b")).toThrow(expect.objectContaining({ kind: "store" }));
});

test("a run is found inside the folders around it", () => {
  const files = [
    file("runs/demo/metrics.jsonl"),
    file("runs/demo/model/config.json"),
    file("runs/notes.txt"),
  ];
  expect(within(files, "metrics.jsonl").map(({ path }) => path)).toEqual([
    "metrics.jsonl",
    "model/config.json",
  ]);
  expect(within([file("config.json")], "metrics.jsonl")).toEqual([]);
});

test("of a run, the newest model is its last or that of its newest checkpoint, the first the one that was given", async () => {
  const run = (...paths: string[]) =>
    ({
      files: async () => ({
        walk: async () => paths.map((path) => ({ path })),
        file: async (path: string) => new Blob([path]),
      }),
    }) as unknown as Runs;
  const weights = async (runs: Runs, which: "first" | "newest") => {
    const source = await sourceOf({ kind: "run", run: "r", which }, runs);
    const bytes = source.kind === "files" ? source.files["model.safetensors"] : undefined;
    return new TextDecoder().decode(bytes);
  };
  const at = (folder: string) => `${folder}/model.safetensors`;
  const [given, early, late, last] = [
    "inputs/model",
    "checkpoints/step_000009",
    "checkpoints/step_000010",
    "model",
  ].map(at);
  const states = ["checkpoints/step_000009/state.json", "checkpoints/step_000010/state.json"];
  const paths = [given, early, late, ...states] as string[];
  expect(await weights(run(...paths, last as string), "newest")).toBe(last);
  expect(await weights(run(...paths), "newest")).toBe(late);
  expect(await weights(run(given as string), "newest")).toBe(given);
  expect(await weights(run(...paths, last as string), "first")).toBe(given);
  await expect(weights(run(last as string), "first")).rejects.toMatchObject({
    what: expect.stringContaining("began with"),
  });
});
