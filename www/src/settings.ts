// A form of the trainer's settings, made from what the core says of them.

import { field, h, select } from "./element";
import type { Setting } from "./protocol";

/** What most people change; the rest is folded away. */
export const COMMON = ["objective", "beta", "learning_rate", "steps", "batch"];
/** The same where the model answers prompts. */
export const ONLINE_COMMON = [
  "objective",
  "beta",
  "learning_rate",
  "steps",
  "rollouts",
  "prompts_per_batch",
  "max_new_tokens",
];

type Control = HTMLInputElement | HTMLSelectElement | HTMLTextAreaElement;

export class SettingsForm {
  readonly root = h("div", { class: "settings" });
  private readonly controls = new Map<string, { setting: Setting; control: Control }>();

  constructor(
    settings: Setting[],
    private readonly onchange: () => void,
    foremost = COMMON,
  ) {
    const make = (setting: Setting) => this.control(setting);
    const common = foremost.flatMap((name) => settings.filter((setting) => setting.name === name));
    const others = settings.filter((setting) => !common.includes(setting));
    const more = h(
      "details",
      {},
      h("summary", { text: "All settings" }),
      h("div", { class: "fields" }, ...others.map(make)),
    );
    this.root.append(h("div", { class: "fields" }, ...common.map(make)), more);
  }

  /** The settings that are not left as they were, under their names in config.json. */
  values(): Record<string, unknown> {
    const values: Record<string, unknown> = {};
    for (const [name, { setting, control }] of this.controls) {
      const value = valueIn(setting, control);
      if (value !== undefined && value !== (setting.default ?? null)) values[name] = value;
    }
    return values;
  }

  /** Sets what `values` names, and everything else back; returns the names that no setting has. */
  fill(values: Record<string, unknown>): string[] {
    for (const [name, { setting, control }] of this.controls) put(control, values[name] ?? setting.default);
    this.onchange();
    return Object.keys(values).filter((name) => !this.controls.has(name));
  }

  /** Sets one of them, and leaves the others. */
  put(name: string, value: unknown): void {
    const known = this.controls.get(name);
    if (known) put(known.control, value);
  }

  /** Whether every control holds what it may; says so beside the one that does not. */
  valid(): boolean {
    return [...this.controls.values()].every(({ control }) => control.reportValidity());
  }

  private control(setting: Setting): HTMLElement {
    const control = inputFor(setting);
    control.name = setting.name;
    put(control, setting.default);
    control.addEventListener("change", this.onchange);
    this.controls.set(setting.name, { setting, control });
    const label = setting.name.replaceAll("_", " ");
    return field(label, control, setting.help);
  }
}

function inputFor(setting: Setting): Control {
  switch (setting.kind) {
    case "choice":
      return select(setting.choices ?? [], String(setting.default ?? ""));
    case "bool":
      return h("input", { type: "checkbox" });
    case "texts":
    case "numbers":
      return h("textarea", { rows: 2, placeholder: "one a line" });
    case "integer":
      return h("input", { type: "number", step: 1, min: 0, placeholder: "chosen for you" });
    case "number":
      return h("input", { type: "number", step: "any", placeholder: "chosen for you" });
  }
}

function put(control: Control, value: unknown): void {
  if (control instanceof HTMLInputElement && control.type === "checkbox") control.checked = value === true;
  else if (Array.isArray(value)) control.value = value.join("\n");
  else control.value = value === null || value === undefined ? "" : String(value);
}

function valueIn(setting: Setting, control: Control): unknown {
  if (setting.kind === "bool") return (control as HTMLInputElement).checked;
  if (control.value === "") return undefined;
  if (setting.kind === "texts" || setting.kind === "numbers") {
    const lines = control.value.split("\n").filter((line) => line !== "");
    return setting.kind === "texts" ? lines : lines.map(Number);
  }
  return setting.kind === "choice" ? control.value : Number(control.value);
}
