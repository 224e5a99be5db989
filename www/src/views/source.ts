// Which model a run begins with: a fresh one, one of a kept run, or one of a person's own.

import type { App } from "../app";
import { dropZone } from "../drop";
import { field, fill, h, select } from "../element";
import { count } from "../format";
import type { ModelInput, NamedFile } from "../protocol";
import { describeModel } from "./model";

const FOLDER = "folder";

export class ModelSource {
  readonly root = h("div");
  private readonly choice = h("div", { class: "choice" });
  private readonly state = h("p", { class: "help", "aria-live": "polite" });
  private readonly drop: HTMLElement;
  private control = select([[FOLDER, "a folder of mine"]], FOLDER);
  private files: NamedFile[] = [];
  /** What the person chose; none before. */
  private wanted = "";
  private runsFirst = false;

  constructor(
    private readonly app: App,
    private readonly onchange: () => void,
  ) {
    this.drop = dropZone(
      "Drop a Hugging Face folder: config.json, model.safetensors, tokenizer.json",
      { folder: true, multiple: true },
      (files) => {
        this.files = files;
        this.state.textContent = describeModel(files);
        onchange();
      },
    );
    this.root.append(this.choice, this.drop, this.state);
    app.on("runs", () => this.list());
  }

  input(): ModelInput {
    const { value } = this.control;
    if (value === FOLDER) return { kind: "files", files: this.files };
    const run = /^run:(.*)$/.exec(value)?.[1];
    return run === undefined ? { kind: "preset", preset: value } : { kind: "run", run, which: "newest" };
  }

  lacking(): string | undefined {
    const given = this.input();
    return given.kind === "files" && given.files.length === 0 ? "Choose a model first." : undefined;
  }

  /** The preset, where it is one: another model cannot go into a link. */
  preset(): string | undefined {
    const given = this.input();
    return given.kind === "preset" ? given.preset : undefined;
  }

  take(preset: string): void {
    this.wanted = preset;
    this.list();
  }

  /** A model that has learnt something comes first, or one that has not. */
  prefer(runs: boolean): void {
    this.runsFirst = runs;
    this.list();
  }

  /** Makes the list of models anew, and keeps what is chosen. */
  list(): void {
    const { app } = this;
    if (!app.boot) return;
    const presets = app.boot.presets.map(({ name, params }): [string, string] => [
      name,
      `${name}, fresh: ${count(params)} parameters, reads bytes`,
    ]);
    const kept = app.runs.filter((run) => (run.finished || run.saved > 0) && !run.served);
    const runs = kept.map(({ id, name }): [string, string] => [`run:${id}`, `“${name}”, as it is now`]);
    const folder: [string, string] = [FOLDER, "a folder of mine (Hugging Face)"];
    const options = this.runsFirst ? [...runs, ...presets, folder] : [...presets, ...runs, folder];
    const before = this.control.value;
    const has = (value: string) => options.some(([option]) => option === value);
    const chosen = has(this.wanted) ? this.wanted : (options[0]?.[0] ?? FOLDER);
    if (this.choice.firstChild) {
      this.control.replaceChildren(...options.map(([value, text]) => h("option", { value, text })));
    } else {
      this.control = select(options, chosen);
      this.control.id = "model";
      this.control.addEventListener("change", () => {
        this.wanted = this.control.value;
        this.show();
        this.onchange();
      });
      fill(this.choice, field("model", this.control));
    }
    this.control.value = chosen;
    this.show();
    if (chosen !== before) this.onchange();
  }

  private show(): void {
    const own = this.control.value === FOLDER;
    this.drop.hidden = !own;
    this.state.hidden = !own;
  }
}
