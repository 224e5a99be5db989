// For scripts: `?bench=nano&steps=N` puts a line of JSON into #result, `?run=BASE64` of a run's settings puts a line for
// each step into #metrics. `tbrm.request` asks the worker what the page asks it, `tbrm.drawing` says whether the page still has
// to draw what it was told.

import type { App } from "./app";
import { h } from "./element";
import { faultOf } from "./errors";
import { drawing } from "./frame";
import type { ModelInput, NamedFile, SpecInput } from "./protocol";
import { asked } from "./records";
import { decode } from "./share";

const MODEL_FILES = [
  "config.json",
  "tokenizer.json",
  "model.safetensors",
  "tokenizer_config.json",
  "special_tokens_map.json",
  "generation_config.json",
  "chat_template.jinja",
];

declare global {
  interface Window {
    tbrm?: { request: App["client"]["request"]; app: App; drawing: () => boolean };
  }
}

/** Runs what the address asks for; says whether it asks for anything. */
export function hooks(app: App, parent: Element): boolean {
  window.tbrm = { request: (type, args) => app.client.request(type, args), app, drawing };
  const query = new URLSearchParams(location.search);
  const preset = query.get("bench");
  const run = query.get("run");
  if (preset !== null) void bench(app, parent, preset, query);
  else if (run !== null) void train(app, parent, run);
  return preset !== null || run !== null;
}

async function bench(app: App, parent: Element, preset: string, query: URLSearchParams): Promise<void> {
  const result = h("pre", { id: "result" });
  parent.append(result);
  try {
    const steps = Number(query.get("steps") ?? 10);
    const objective = query.get("objective") ?? "tbrm";
    const report = await app.client.request("bench", { preset, steps, objective });
    result.textContent = JSON.stringify(report);
    document.body.dataset.state = "done";
  } catch (error) {
    result.textContent = JSON.stringify({ error: faultOf(error) });
    app.fault(error);
  }
}

async function train(app: App, parent: Element, encoded: string): Promise<void> {
  const lines = h("pre", { id: "metrics" });
  parent.append(lines);
  let told = 0;
  app.on("live", () => {
    const columns = app.live?.stage.columns;
    if (!columns) return;
    for (; told < columns.steps.length; told++) {
      const row = Object.fromEntries(columns.names().map((name) => [name, columns.get(name)[told]]));
      const numbers = Object.entries(row).filter(([, value]) => Number.isFinite(value));
      lines.append(`${JSON.stringify({ step: columns.steps[told], ...Object.fromEntries(numbers) })}\n`);
    }
  });
  try {
    const settings = decode(encoded);
    if (!settings) {
      throw {
        kind: "config",
        what: "?run= does not hold settings",
        help: "give base64 of a JSON object: the settings of a config.json, with `model` and `data`",
      };
    }
    const { model, data, eval_data, prompts, eval_prompts, ...others } = settings;
    const [given, logs, held, asked] = await Promise.all([
      modelOf(app, model),
      filesOf(app, data),
      filesOf(app, eval_data),
      promptsOf(app, prompts, eval_prompts),
    ]);
    await app.train("From the address", { model: given, data: logs, eval: held, ...asked, settings: others });
  } catch (error) {
    app.fault(error);
  }
}

/** `demo`, a preset's name, or the address of a model folder. */
async function modelOf(app: App, model: unknown): Promise<ModelInput> {
  const name = String(model ?? "demo");
  if (name === "demo") return { kind: "demo" };
  await app.booted;
  if (app.boot?.presets.some((preset) => preset.name === name)) return { kind: "preset", preset: name };
  const found = await Promise.all(
    MODEL_FILES.map((file) => fetched(`${name.replace(/\/$/, "")}/${file}`, file)),
  );
  return { kind: "files", files: found.filter((file) => file !== undefined) };
}

/** Names of embedded records, and addresses of files. */
async function filesOf(app: App, data: unknown): Promise<NamedFile[]> {
  const all = (Array.isArray(data) ? data : [data]).filter((name) => typeof name === "string");
  return Promise.all(
    all.map(async (name) => {
      const file = await app.client.request("embedded", { name });
      return file ? { path: name, file } : ((await fetched(name, name)) ?? missing(name));
    }),
  );
}

/** The name of an embedded task, or addresses of files; none where the run is from logs. */
async function promptsOf(
  app: App,
  prompts: unknown,
  held: unknown,
): Promise<Pick<SpecInput, "prompts" | "evalPrompts">> {
  if (typeof prompts !== "string") return {};
  await app.booted;
  if (app.boot?.tasks.includes(prompts)) {
    return asked(prompts, await app.client.request("task", { name: prompts }));
  }
  const file = async (url: string) => (await fetched(url, url)) ?? missing(url);
  const evalPrompts = typeof held === "string" ? { evalPrompts: await file(held) } : {};
  return { prompts: await file(prompts), ...evalPrompts };
}

async function fetched(url: string, path: string): Promise<NamedFile | undefined> {
  const response = await fetch(url);
  // Some hosts answer with the page where there is no such file.
  const page = response.headers.get("content-type")?.startsWith("text/html");
  return response.ok && !page ? { path, file: await response.blob() } : undefined;
}

function missing(url: string): never {
  throw {
    kind: "data",
    what: `${url} could not be fetched`,
    help: "give `sort`, `sort-held-out`, for prompts a task such as `sort-3`, or an address relative to this page",
  };
}
