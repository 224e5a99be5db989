// What a run is made of: a model, logs, settings, and what it will take.

import type { App } from "../app";
import { copy } from "../copy";
import { dropZone } from "../drop";
import { field, fill, h, select } from "../element";
import { faultOf } from "../errors";
import { bytes, count, counted, duration } from "../format";
import type { Estimate, Fault, LogsReport, ModelInput, NamedFile, SpecInput } from "../protocol";
import { SettingsForm } from "../settings";
import { linkTo, type Shared } from "../share";
import { secondsFor } from "../speed";
import { describeModel } from "./model";

const FOLDER = "folder";

export function setupForm(app: App): { root: HTMLElement; fill(shared: Shared): void } {
  let model: NamedFile[] = [];
  let data: NamedFile[] = [];
  let held: NamedFile[] = [];
  let form: SettingsForm | undefined;
  let waiting: Shared | undefined;
  let asked = 0;

  const name = h("input", { type: "text", value: "My run", maxlength: 80, required: true });
  const choice = h("div", { class: "choice" });
  let preset = select([[FOLDER, "a folder of mine"]], FOLDER);
  const modelState = h("p", { class: "help", "aria-live": "polite" });
  const modelDrop = dropZone(
    "Drop a Hugging Face folder: config.json, model.safetensors, tokenizer.json",
    { folder: true, multiple: true },
    (files) => {
      model = files;
      modelState.textContent = describeModel(files);
      void estimate();
    },
  );
  const dataState = h("div", { class: "help", "aria-live": "polite" });
  const dataDrop = dropZone(
    'Drop logs: JSONL, a line each like {"prompt": "2+2=", "completion": "4", "reward": 1}',
    { multiple: true, accept: ".jsonl,.json,.txt" },
    (files) => {
      data = files;
      void check(dataState, files);
      void estimate();
    },
  );
  const heldState = h("div", { class: "help", "aria-live": "polite" });
  const heldDrop = dropZone(
    "Optional: logs to be held out, which “eval every” measures on",
    { multiple: true, accept: ".jsonl,.json,.txt" },
    (files) => {
      held = files;
      void check(heldState, files);
      void estimate();
    },
  );
  const settings = h("div", {}, h("p", { class: "muted", text: "The settings come with the engine …" }));
  const plan = h("p", { class: "estimate", "aria-live": "polite" });
  const start = h("button", { type: "submit", class: "primary", text: "Start training", disabled: true });
  const link = h("button", { type: "button", text: "Copy link to these settings" });
  const said = h("span", { class: "muted", role: "status" });

  const body = h(
    "form",
    { class: "setup", novalidate: true },
    h("h3", { text: "1. The model" }),
    choice,
    modelDrop,
    modelState,
    h("h3", { text: "2. The logs" }),
    dataDrop,
    dataState,
    heldDrop,
    heldState,
    h("h3", { text: "3. The settings" }),
    settings,
    h("h3", { text: "4. Start" }),
    field("name of the run", name),
    plan,
    h("div", { class: "actions" }, start, link, said),
  );
  const root = h("details", { class: "own" }, h("summary", { text: "Train on your own logs" }), body);

  function source(): ModelInput {
    return preset.value === FOLDER
      ? { kind: "files", files: model }
      : { kind: "preset", preset: preset.value };
  }

  function spec(): SpecInput {
    return { model: source(), data, eval: held, settings: form?.values() ?? {} };
  }

  function missing(): string | undefined {
    if (!app.boot) return "Waiting for the engine.";
    if (preset.value === FOLDER && model.length === 0) return "Choose a model first.";
    if (data.length === 0) return "Choose logs to train on first.";
    return undefined;
  }

  async function check(where: HTMLElement, files: NamedFile[]): Promise<void> {
    fill(where, "Reading …");
    try {
      const reports = await Promise.all(files.map((file) => app.client.request("check", { file })));
      fill(where, ...reports.map((report, i) => describeLogs(files[i]?.path ?? "", report)));
    } catch (error) {
      fill(where, ...describeFault(faultOf(error)));
    }
  }

  /** Says what the run would take; a newer question makes an older answer stale. */
  async function estimate(): Promise<void> {
    const mine = ++asked;
    const lacking = missing();
    modelDrop.hidden = preset.value !== FOLDER;
    modelState.hidden = preset.value !== FOLDER;
    start.disabled = lacking !== undefined || app.training !== "idle";
    plan.classList.remove("bad");
    plan.textContent = lacking ?? "Estimating …";
    if (lacking) return;
    try {
      const found = await app.client.request("estimate", { spec: spec() });
      if (mine !== asked) return;
      plan.textContent = describeEstimate(found);
      // May have to be measured first.
      const seconds = await secondsFor(app, found);
      if (mine === asked) plan.textContent = describeEstimate(found, seconds);
    } catch (error) {
      if (mine !== asked) return;
      fill(plan, ...describeFault(faultOf(error)));
      plan.classList.add("bad");
      start.disabled = true;
    }
  }

  function booted(): void {
    if (!app.boot || form) return;
    const presets = app.boot.presets.map(({ name, params }): [string, string] => [
      name,
      `${name}, fresh: ${count(params)} parameters, reads bytes`,
    ]);
    preset = select([...presets, [FOLDER, "a folder of mine (Hugging Face)"]], presets[0]?.[0] ?? FOLDER);
    preset.addEventListener("change", () => void estimate());
    fill(choice, field("model", preset));
    form = new SettingsForm(app.boot.settings, () => void estimate());
    fill(settings, form.root);
    if (waiting) take(waiting);
    void estimate();
  }

  function take(shared: Shared): void {
    waiting = form ? undefined : shared;
    root.open = true;
    if (!form) return;
    if (shared.model && [...preset.options].some((option) => option.value === shared.model))
      preset.value = shared.model;
    const unknown = form.fill(shared.settings);
    said.textContent =
      unknown.length > 0
        ? `The link has settings that this page does not know: ${unknown.join(", ")}`
        : "Settings taken from the link.";
  }

  body.addEventListener("submit", (event) => {
    event.preventDefault();
    if (missing() || !form?.valid() || !name.reportValidity()) return;
    void app.train(name.value.trim(), spec());
  });
  link.addEventListener("click", async () => {
    const chosen = preset.value === FOLDER ? {} : { model: preset.value };
    const url = linkTo({ ...chosen, settings: form?.values() ?? {} }, location.href);
    said.textContent = await copy(url, "Copied. The link holds the settings, not your data.");
  });
  app.on("boot", booted);
  app.on("state", () => {
    start.disabled = missing() !== undefined || app.training !== "idle";
  });
  booted();
  return { root, fill: take };
}

function describeLogs(path: string, report: LogsReport): HTMLElement {
  const reward = report.reward
    ? `, rewards from ${report.reward.min} to ${report.reward.max}`
    : ", without rewards";
  const head = `${path}: ${counted(report.records, "record")}${report.records > 0 ? reward : ""}`;
  if (report.rejected === 0) return h("p", { text: `${head}.` });
  const reasons = report.reasons.map(({ field, reason, count: times, lines }) =>
    h("li", {
      text: `line ${lines.slice(0, 3).join(", ")}${times > 3 ? " …" : ""}: ${field ? `${field}: ` : ""}${reason}`,
    }),
  );
  const text = `${head}; ${counted(report.rejected, "line")} not to be used. Mend the file, or turn on “skip invalid” under all settings.`;
  return h("div", { class: "bad" }, h("p", { text }), h("ul", {}, ...reasons.slice(0, 8)));
}

function describeFault(fault: Fault): HTMLElement[] {
  return [h("span", { class: "bad", text: `${fault.what}. ` }), h("span", { text: `${fault.help}.` })];
}

function describeEstimate(found: Estimate, seconds?: number): string {
  const time = seconds === undefined ? "" : `, roughly ${duration(seconds)} here`;
  return `${count(found.params)} parameters, ${bytes(found.total_bytes)} of GPU memory, ${count(found.steps)} steps over ${count(found.tokens)} tokens${time}.`;
}
