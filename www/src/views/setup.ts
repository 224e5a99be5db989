// What a run is made of: where its answers come from, a model, settings, and what it will take.

import type { App } from "../app";
import { copy } from "../copy";
import { field, fill, h } from "../element";
import { faultOf } from "../errors";
import { bytes, count, duration } from "../format";
import type { Estimate, SpecInput } from "../protocol";
import { COMMON, ONLINE_COMMON, SettingsForm } from "../settings";
import { linkTo, type Shared } from "../share";
import { secondsFor } from "../speed";
import { describeFault, RecordFiles } from "./logs";
import { Prompts } from "./prompts";
import { RewardsEditor } from "./rewards";
import { ModelSource } from "./source";

/** Settings that a part of the form has a control of its own for. */
const ELSEWHERE = ["rewards", "reward_weights"];

export function setupForm(app: App): { root: HTMLElement; fill(shared: Shared): void } {
  const forms: { logs?: SettingsForm; online?: SettingsForm } = {};
  let waiting: Shared | undefined;
  let asked = 0;

  const name = h("input", { type: "text", value: "My run", maxlength: 80, required: true });
  const [fromLogs, fromPrompts] = [radio("logs", true), radio("online", false)];
  const mode = () => (fromPrompts.checked ? "online" : "logs");
  const model = new ModelSource(app, () => void estimate());
  const data = new RecordFiles(
    app,
    'Drop logs: JSONL, a line each like {"prompt": "2+2=", "completion": "4", "reward": 1}',
    () => void estimate(),
  );
  const held = new RecordFiles(
    app,
    "Optional: logs to be held out, which “eval every” measures on",
    () => void estimate(),
  );
  const rewards = new RewardsEditor(() => void estimate());
  const prompts = new Prompts(
    app,
    () => void estimate(),
    (task, info) => {
      rewards.propose(task === undefined ? "exact" : `task:${task}`);
      if (info) forms.online?.put("max_new_tokens", info.max_new_tokens);
    },
  );
  const settings = h("div", {}, h("p", { class: "muted", text: "The settings come with the engine …" }));
  const plan = h("p", { class: "estimate", "aria-live": "polite" });
  const start = h("button", { type: "submit", class: "primary", text: "Start training", disabled: true });
  const link = h("button", { type: "button", text: "Copy link to these settings" });
  const said = h("span", { class: "muted", role: "status" });

  const logsPart = h("div", {}, h("h3", { text: "2. The logs" }), data.root, held.root);
  const onlinePart = h(
    "div",
    {},
    h("h3", { text: "2. The prompts" }),
    prompts.root,
    h("h3", { text: "3. The rewards" }),
    h("p", {
      class: "help",
      text: "Each answer is worth the weighted sum of its rewards. A reward that fails, or is no finite number, stops the run and shows the answer, unless “set aside failures” is on.",
    }),
    rewards.root,
  );
  const settingsTitle = h("h3");
  const startTitle = h("h3");
  const body = h(
    "form",
    { class: "setup", novalidate: true },
    h(
      "fieldset",
      { class: "modes" },
      h("legend", { text: "Where the answers come from" }),
      h(
        "label",
        {},
        fromLogs,
        h("b", { text: "From logs" }),
        h("span", { text: "Answers that you have, each with a reward." }),
      ),
      h(
        "label",
        {},
        fromPrompts,
        h("b", { text: "Online" }),
        h("span", { text: "The model answers prompts, a reward judges." }),
      ),
    ),
    h("h3", { text: "1. The model" }),
    model.root,
    logsPart,
    onlinePart,
    settingsTitle,
    settings,
    startTitle,
    field("name of the run", name),
    plan,
    h("div", { class: "actions" }, start, link, said),
  );
  const root = h("details", { class: "own" }, h("summary", { text: "Train your own" }), body);

  const form = () => forms[mode()];

  function spec(): SpecInput {
    const own = form()?.values() ?? {};
    const given = model.input();
    if (mode() === "logs") return { model: given, data: data.files, eval: held.files, settings: own };
    return { model: given, eval: [], ...prompts.spec(), settings: { ...own, ...rewards.values() } };
  }

  function missing(): string | undefined {
    if (!app.boot) return "Waiting for the engine.";
    const logs = data.files.length === 0 ? "Choose logs to train on first." : undefined;
    return model.lacking() ?? (mode() === "logs" ? logs : (prompts.lacking() ?? rewards.lacking()));
  }

  /** Says what the run would take; a newer question makes an older answer stale. */
  async function estimate(): Promise<void> {
    const mine = ++asked;
    const lacking = missing();
    start.disabled = lacking !== undefined || app.training !== "idle";
    plan.classList.remove("bad");
    plan.textContent = lacking ?? "Estimating …";
    if (lacking || !root.open) return;
    try {
      const found = await app.client.request("estimate", { spec: spec() });
      if (mine !== asked) return;
      plan.textContent = describeEstimate(found, mode());
      // How long the answers will be is the model's to say.
      if (mode() === "online") return;
      // May have to be measured first.
      const seconds = await secondsFor(app, found);
      if (mine === asked) plan.textContent = describeEstimate(found, mode(), seconds);
    } catch (error) {
      if (mine !== asked) return;
      fill(plan, ...describeFault(faultOf(error)));
      plan.classList.add("bad");
      start.disabled = true;
    }
  }

  function choose(): void {
    const online = mode() === "online";
    logsPart.hidden = online;
    onlinePart.hidden = !online;
    settingsTitle.textContent = `${online ? 4 : 3}. The settings`;
    startTitle.textContent = `${online ? 5 : 4}. Start`;
    model.prefer(online);
    const shown = form();
    if (shown) fill(settings, shown.root);
    if (online) prompts.list();
    void estimate();
  }

  function booted(): void {
    if (!app.boot || forms.logs) return;
    const all = app.boot.settings.filter((setting) => !ELSEWHERE.includes(setting.name));
    const changed = () => void estimate();
    const trainers = all.filter(({ online }) => !online);
    forms.logs = new SettingsForm(trainers, changed, COMMON);
    forms.online = new SettingsForm(all, changed, ONLINE_COMMON);
    model.list();
    choose();
    if (waiting) take(waiting);
  }

  function take(shared: Shared): void {
    waiting = forms.logs ? undefined : shared;
    root.open = true;
    if (!forms.logs) return;
    const online = shared.prompts !== undefined;
    fromPrompts.checked = online;
    fromLogs.checked = !online;
    choose();
    if (shared.model) model.take(shared.model);
    if (shared.prompts) prompts.take(shared.prompts);
    const { rewards: kinds, reward_weights, ...others } = shared.settings;
    if (online) rewards.take({ rewards: kinds, reward_weights });
    const unknown = form()?.fill(online ? others : shared.settings) ?? [];
    said.textContent =
      unknown.length > 0
        ? `The link has settings that this page does not know: ${unknown.join(", ")}`
        : "Settings taken from the link.";
  }

  body.addEventListener("submit", (event) => {
    event.preventDefault();
    if (missing() || !form()?.valid() || !name.reportValidity()) return;
    void app.train(name.value.trim(), spec());
  });
  link.addEventListener("click", async () => {
    const preset = model.preset();
    const online = mode() === "online" ? { prompts: prompts.embedded() ?? "own" } : {};
    const shared = { ...(preset ? { model: preset } : {}), ...online, settings: spec().settings };
    const url = linkTo(shared, location.href);
    said.textContent = await copy(url, "Copied. The link holds the settings, not your data.");
  });
  for (const one of [fromLogs, fromPrompts]) one.addEventListener("change", choose);
  root.addEventListener("toggle", () => void estimate());
  app.on("boot", booted);
  app.on("state", () => {
    start.disabled = missing() !== undefined || app.training !== "idle";
  });
  choose();
  booted();
  return { root, fill: take };
}

function radio(value: string, checked: boolean): HTMLInputElement {
  return h("input", { type: "radio", name: "mode", value, checked });
}

function describeEstimate(found: Estimate, mode: "logs" | "online", seconds?: number): string {
  const time = seconds === undefined ? "" : `, roughly ${duration(seconds)} here`;
  const tokens = `${mode === "online" ? "at most " : ""}${count(found.tokens)} tokens`;
  return `${count(found.params)} parameters, ${bytes(found.total_bytes)} of GPU memory, ${count(found.steps)} steps over ${tokens}${time}.`;
}
