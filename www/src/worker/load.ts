// Runs that were made elsewhere.

import type { Fault, GivenFiles, NamedFile } from "../protocol";
import { unarchive, within } from "./archive";
import { isModelFile, lastName } from "./input";
import type { Runs } from "./runs";

/** Keeps a run: its folder as the command wrote it, or a zip of it. Returns its id. */
export async function loadRun(runs: Runs, name: string, given: NamedFile[]): Promise<string> {
  const [only] = given;
  const zip = given.length === 1 && only?.path.endsWith(".zip");
  const files = within(zip && only ? await unarchive(only.file) : given, "metrics.jsonl");
  if (files.length === 0) {
    throw {
      kind: "data",
      what: "this is not a run: there is no metrics.jsonl in it",
      help: "choose the folder that `tbrm train --out` or `tbrm demo --out` wrote, or a .zip of it",
    } satisfies Fault;
  }
  const run = await runs.create(name);
  try {
    await write(runs, run, files);
  } catch (error) {
    await runs.erase(run).catch(() => {});
    throw error;
  }
  runs.changed();
  return run;
}

/** Puts what a run was made from where a resume looks for it: data under its number in the run's config.json. */
export async function giveInputs(runs: Runs, run: string, given: GivenFiles): Promise<void> {
  const { config } = await runs.history(run);
  const model = given.model.filter(({ path }) => isModelFile(lastName(path)));
  const files = [
    ...model.map(({ path, file }) => ({ path: `inputs/model/${lastName(path)}`, file })),
    ...inOrder(given.data, config.data).map((file, i) => ({ path: `inputs/data/${i}`, file })),
    ...inOrder(given.eval, config.eval_data).map((file, i) => ({ path: `inputs/eval/${i}`, file })),
    ...["prompts", "eval_prompts"].flatMap((key) =>
      inOrder(given.prompts, config[key]).map((file) => ({ path: `inputs/${key}`, file })),
    ),
  ];
  const release = await runs.lock(run);
  try {
    await write(runs, run, files);
  } finally {
    release();
  }
  runs.changed();
}

/** The files under the names that the run knows them by, which may have folders before them. */
export function inOrder(files: NamedFile[], names: unknown): Blob[] {
  const wanted = (Array.isArray(names) ? names : [names]).filter(
    (name) => typeof name === "string" && name !== "",
  );
  return wanted.map((name) => {
    const found = files.find(({ path }) => lastName(path) === lastName(name.replaceAll("\\", "/")));
    if (found) return found.file;
    throw {
      kind: "data",
      what: `the run was made from ${name}, which is not among the files`,
      help: "give the files that the run was made from, under their names",
    } satisfies Fault;
  });
}

async function write(runs: Runs, run: string, files: NamedFile[]): Promise<void> {
  const store = await runs.store(run);
  for (const { path, file } of files) await store.write(path, new Uint8Array(await file.arrayBuffer()));
}
