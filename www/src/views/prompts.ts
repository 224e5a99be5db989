// What an online run asks its model: an embedded task, or prompts of a person's own.

import type { App } from "../app";
import { field, fill, h, select } from "../element";
import { sentence } from "../fault";
import type { SpecInput, TaskInfo } from "../protocol";
import { asked } from "../records";
import { RecordFiles } from "./logs";

const OWN = "own";
/** What the demo's model is trained on. */
const FIRST = "sort-3";

/** How a fresh model gets to know a task: it imitates demonstrations, half of them wrong, and is right now and then. */
const WARM_START = {
  objective: "sft",
  learning_rate: 0.003,
  schedule: "cosine",
  warmup: 20,
  steps: 300,
  batch: 64,
  checkpoint_every: 300,
  calibrate: "none",
};

export class Prompts {
  readonly root = h("div");
  private readonly choice = h("div", { class: "choice" });
  private readonly about = h("p", { class: "help", "aria-live": "polite" });
  private readonly warm: HTMLElement;
  private readonly own: HTMLElement;
  private readonly prompts: RecordFiles;
  private readonly held: RecordFiles;
  private readonly logs: RecordFiles;
  private control = select([], "");
  private task: TaskInfo | undefined;
  private wanted = FIRST;

  constructor(
    private readonly app: App,
    private readonly onchange: () => void,
    /** The embedded task was chosen, or none any more. */
    private readonly ontask: (name: string | undefined, task: TaskInfo | undefined) => void,
  ) {
    const line = '{"prompt": "2+2=", "answer": "4"}';
    this.prompts = new RecordFiles(app, `Drop prompts: JSONL, a line each like ${line}`, onchange, false);
    this.held = new RecordFiles(
      app,
      "Optional: prompts to be held out, which “eval every” measures on",
      onchange,
      false,
    );
    this.logs = new RecordFiles(app, "Optional: logs with rewards to mix into every step", onchange);
    this.own = h("div", {}, this.prompts.root, this.held.root);
    this.warm = h(
      "p",
      { class: "notice" },
      h("span", {
        text: "A model learns from its own answers only where some are right. A model that does not know the task yet can imitate demonstrations first, half of them wrong:",
      }),
      h("button", {
        type: "button",
        id: "warm-start",
        text: "Warm-start a fresh model on this task",
        onclick: () => this.warmStart(),
      }),
    );
    const more = h("details", {}, h("summary", { text: "Mix in logs" }), this.logs.root);
    this.root.append(this.choice, this.about, this.warm, this.own, more);
  }

  /** What goes into the run. */
  spec(): Pick<SpecInput, "data"> & Partial<SpecInput> {
    const name = this.embedded();
    const data = this.logs.files;
    if (name !== undefined && this.task) return { data, ...asked(name, this.task) };
    const [prompts, held] = [this.prompts.files[0], this.held.files[0]];
    return { data, ...(prompts ? { prompts } : {}), ...(held ? { evalPrompts: held } : {}) };
  }

  lacking(): string | undefined {
    if (this.embedded() !== undefined) return this.task ? undefined : "The task is being drawn.";
    return this.prompts.files.length === 0 ? "Choose prompts first." : undefined;
  }

  /** The embedded task's name; none where the prompts are the person's own. */
  embedded(): string | undefined {
    const { value } = this.control;
    return value === OWN || value === "" ? undefined : value;
  }

  take(task: string): void {
    this.wanted = task;
    this.list();
  }

  list(): void {
    const { boot } = this.app;
    if (!boot) return;
    const tasks = boot.tasks.map((name): [string, string] => [name, `${name}, an embedded task`]);
    if (!this.choice.firstChild) {
      this.control = select([...tasks, [OWN, "a file of mine (JSONL)"]], this.wanted);
      this.control.id = "prompts";
      this.control.addEventListener("change", () => {
        this.wanted = this.control.value;
        void this.choose();
      });
      fill(
        this.choice,
        field(
          "prompts",
          this.control,
          "What the model is asked; the number of a task is its level, from 1 to 4.",
        ),
      );
    }
    this.control.value = tasks.some(([name]) => name === this.wanted) ? this.wanted : OWN;
    void this.choose();
  }

  private async choose(): Promise<void> {
    const name = this.embedded();
    this.own.hidden = name !== undefined;
    this.warm.hidden = name === undefined;
    this.about.hidden = name === undefined;
    this.task = undefined;
    this.onchange();
    if (name !== undefined) {
      try {
        const task = await this.app.client.request("task", { name });
        if (this.embedded() !== name) return;
        this.task = task;
        this.about.textContent = sentence(`${task.description}; for instance ${firstOf(task)}`);
      } catch (error) {
        this.app.fault(error);
      }
    }
    this.ontask(name, this.task);
    this.onchange();
  }

  private warmStart(): void {
    const name = this.embedded();
    if (name === undefined || !this.task || this.app.training !== "idle") return;
    const data = [{ path: `${name}-demonstrations.jsonl`, file: new Blob([this.task.demonstrations]) }];
    const model = { kind: "preset", preset: "nano" } as const;
    void this.app.train(`${name}, warm start`, { model, data, eval: [], settings: WARM_START });
  }
}

/** A problem of the task, as a person reads it. */
function firstOf(task: TaskInfo): string {
  const { prompt, answer } = JSON.parse(task.prompts.slice(0, task.prompts.indexOf("\n")));
  return `“${prompt}”, answer “${answer}”.`;
}
