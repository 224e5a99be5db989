// What a person gave, read into memory: not before its size is known to be bearable.

import type { Fault, ModelInput, NamedFile, SpecInput } from "../protocol";
import type { DataFile, ModelSource, RunSpec } from "./engine";
import type { RunFiles } from "./opfs";
import type { Runs } from "./runs";

const GIB = 2 ** 30;
/** wasm addresses 4 GiB, and needs some of it beside the files. */
const MODEL_LIMIT = 1.5 * GIB;
const DATA_LIMIT = 0.5 * GIB;

/** Files of a checkpoint that are not the model's. */
const NOT_THE_MODEL = new Set(["optimizer.safetensors", "reference.safetensors", "state.json"]);

/** Whether a file of a model folder is one that the trainer may want. */
export function isModelFile(name: string): boolean {
  return /\.(json|safetensors|jinja|txt|model)$/.test(name) && !NOT_THE_MODEL.has(name);
}

export async function specOf(input: SpecInput, runs: Runs): Promise<RunSpec> {
  const one = async (file: NamedFile | undefined) => (file ? (await filesOf([file]))[0] : undefined);
  const [model, data, held, prompts, evalPrompts] = await Promise.all([
    sourceOf(input.model, runs),
    filesOf(input.data),
    filesOf(input.eval),
    one(input.prompts),
    one(input.evalPrompts),
  ]);
  const spec: RunSpec = { model, settings: input.settings };
  if (data.length > 0) spec.data = data;
  if (held.length > 0) spec.eval = held;
  if (prompts) spec.prompts = prompts;
  if (evalPrompts) spec.eval_prompts = evalPrompts;
  return spec;
}

export async function sourceOf(model: ModelInput, runs: Runs): Promise<ModelSource> {
  switch (model.kind) {
    case "demo":
    case "preset":
      return model;
    case "files":
      return { kind: "files", files: await modelFiles(model.files) };
    case "run": {
      const store = await runs.files(model.run);
      return { kind: "files", files: await ofRun(store, model.which) };
    }
  }
}

async function filesOf(files: NamedFile[]): Promise<DataFile[]> {
  checkSize(files, DATA_LIMIT, "the logs", "split them, and train on one part after the other");
  return Promise.all(
    files.map(async ({ path, file }) => ({ name: lastName(path), bytes: await bytesOf(file) })),
  );
}

async function modelFiles(given: NamedFile[]): Promise<Record<string, Uint8Array>> {
  const files = given.filter(({ path }) => isModelFile(lastName(path)));
  const help = "use a smaller model here, or the command `tbrm train`, which has the whole machine";
  checkSize(files, MODEL_LIMIT, "the model", help);
  const read = files.map(async ({ path, file }) => [lastName(path), await bytesOf(file)] as const);
  return Object.fromEntries(await Promise.all(read));
}

async function ofRun(store: RunFiles, which: "first" | "newest"): Promise<Record<string, Uint8Array>> {
  const files = await store.walk();
  const newest = ["online/model", ...checkpoints(files, "online/"), "model", ...checkpoints(files)];
  const folders = which === "first" ? ["inputs/model", "warm-start"] : newest;
  const whole = (folder: string) =>
    files.some(({ path }) => path.startsWith(`${folder}/`) && path.endsWith(".safetensors"));
  const folder =
    folders.find(whole) ?? (which === "newest" ? ["inputs/model", "warm-start"].find(whole) : undefined);
  if (!folder) {
    const unborn: Fault = {
      kind: "model",
      what: "this run has no model yet",
      help: "train it until its first checkpoint, or choose another run",
    };
    const first: Fault = {
      kind: "model",
      what: "the model that this run began with is not here",
      help: "a run that was loaded has it once it was given what it was made from, under Keep",
    };
    throw which === "first" ? first : unborn;
  }
  const found: NamedFile[] = [];
  for (const { path } of files.filter((file) => file.path.startsWith(`${folder}/`))) {
    const file = await store.file(path);
    if (file) found.push({ path, file });
  }
  return modelFiles(found);
}

/** The folders of whole checkpoints, newest first; of the demo's last stage those `below` its folder. */
export function checkpoints(files: { path: string }[], below = ""): string[] {
  const states = files.filter(
    ({ path }) =>
      path.startsWith(below) && /^checkpoints\/step_\d+\/state\.json$/.test(path.slice(below.length)),
  );
  return states
    .map(({ path }) => path.slice(0, path.lastIndexOf("/")))
    .sort((a, b) => Number(b.split("_")[1]) - Number(a.split("_")[1]));
}

function checkSize(files: NamedFile[], limit: number, what: string, help: string): void {
  const bytes = files.reduce((sum, { file }) => sum + file.size, 0);
  if (bytes <= limit) return;
  const gib = (n: number) => (n / GIB).toFixed(1);
  throw {
    kind: "too-large",
    what: `${what}: ${gib(bytes)} GiB, and a browser tab can take ${gib(limit)} GiB`,
    help,
  } satisfies Fault;
}

async function bytesOf(file: Blob): Promise<Uint8Array> {
  try {
    return new Uint8Array(await file.arrayBuffer());
  } catch (error) {
    throw {
      kind: "data",
      what: `a file could not be read: ${(error as Error).message}`,
      help: "choose it again: it was moved, changed or removed since",
    } satisfies Fault;
  }
}

export function lastName(path: string): string {
  return path.slice(path.lastIndexOf("/") + 1);
}
