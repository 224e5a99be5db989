// A run as its events tell it: what the curves, the samples and the progress bar show.

import type { History, Metrics, RunEvent, Sample } from "./protocol";

/** Numbers by name, one per step, growing. */
export class Columns {
  readonly steps: number[] = [];
  private readonly named = new Map<string, number[]>();

  names(): string[] {
    return [...this.named.keys()];
  }

  /** One value per step; NaN where the step has none. */
  get(name: string): number[] {
    const column = this.named.get(name) ?? [];
    while (column.length < this.steps.length) column.push(Number.NaN);
    return column;
  }

  has(name: string): boolean {
    return this.named.has(name);
  }

  last(name: string): number | undefined {
    return this.named.get(name)?.at(-1);
  }

  /** A step, or more about the last one. A step that comes again, after a resume, replaces what came after it. */
  add(row: Partial<Metrics> & { step: number }): void {
    const last = this.steps.at(-1) ?? -1;
    if (row.step < last) this.keep(row.step - 1);
    if (this.steps.at(-1) !== row.step) this.steps.push(row.step);
    const at = this.steps.length - 1;
    for (const [name, value] of Object.entries(row)) {
      if (name === "step" || typeof value !== "number") continue;
      const column = this.named.get(name) ?? [];
      this.named.set(name, column);
      while (column.length < at) column.push(Number.NaN);
      column[at] = value;
    }
  }

  /** Only the steps up to `step`. */
  keep(step: number): void {
    const after = this.steps.findIndex((known) => known > step);
    const at = after < 0 ? this.steps.length : after;
    this.steps.length = at;
    for (const column of this.named.values()) if (column.length > at) column.length = at;
  }

  static of(history: History): Columns {
    const columns = new Columns();
    const { step, ...others } = history.columns;
    columns.steps.push(...(step ?? []));
    for (const [name, values] of Object.entries(others)) columns.named.set(name, [...values]);
    return columns;
  }
}

/** Of a run that drew its own answers, each step has what its rewards gave. */
export function isOnline(columns: Columns): boolean {
  return columns.names().some((name) => name.startsWith("rewards/"));
}

export interface Stage {
  name: string;
  columns: Columns;
  steps: number;
  accuracy: { step: number; mean: number; stderr: number }[];
  /** By step. */
  samples: Map<number, Sample[]>;
}

export class Live {
  readonly stages: Stage[] = [];
  /** The share of records that the reference has scored; none when that is over. */
  scoring: number | undefined;
  saved = 0;
  complete = false;
  /** Of the newest answers that an online run is trained on. */
  rollouts: { round: number; completions: number; reward: number } | undefined;

  /** Its folder's name; none until the worker has made it. */
  run = "";

  constructor(
    readonly name: string,
    /** Optimizer steps, where they are known. */
    public steps: number,
  ) {}

  get stage(): Stage {
    return this.stages.at(-1) ?? this.begin("", this.steps);
  }

  /** Whether the answers of its newest stage are the model's own. */
  get online(): boolean {
    return isOnline(this.stage.columns);
  }

  /** The newest stage's, or of the last one that had any. */
  get samples(): Map<number, Sample[]> {
    return (this.stages.findLast(({ samples }) => samples.size > 0) ?? this.stage).samples;
  }

  get step(): number {
    return this.stages.at(-1)?.columns.steps.at(-1) ?? 0;
  }

  /** Events of another run are none of this one's. */
  hearAll({ run, events }: { run: string; events: RunEvent[] }): void {
    if (this.run !== "" && this.run !== run) return;
    for (const event of events) this.hear(event);
  }

  hear(event: RunEvent): void {
    switch (event.type) {
      case "stage":
        this.enter(event.stage, event.steps);
        break;
      case "scoring":
        this.scoring = event.done < event.total ? event.done / event.total : undefined;
        break;
      case "step":
        this.scoring = undefined;
        this.stage.columns.add(event.metrics);
        break;
      case "rollouts":
        this.scoring = undefined;
        this.rollouts = event;
        break;
      case "evaluated":
      case "measured":
        this.evaluated(event);
        break;
      case "accuracy":
        this.measured(event);
        break;
      case "samples":
        this.stage.samples.set(event.step, event.samples);
        break;
      case "checkpoint":
        this.saved = event.step;
        break;
      case "finished":
        this.complete = event.complete;
        break;
    }
  }

  /** What was there before a resume: the steps up to the checkpoint that it begins from. */
  recall(history: History, saved: number): void {
    const columns = Columns.of(history);
    columns.keep(saved);
    const over = history.accuracy.map(({ stage, mean, stderr }) => ({
      name: stage,
      steps: 0,
      columns: new Columns(),
      accuracy: [{ step: 0, mean, stderr }],
      samples: new Map(),
    }));
    const recalled = { name: "", steps: this.steps, columns, accuracy: [], samples: new Map() };
    this.stages.splice(0, this.stages.length, ...over, recalled);
    this.saved = saved;
  }

  private measured({ step, mean, stderr }: { step: number; mean: number; stderr: number }): void {
    this.stage.accuracy.push({ step, mean, stderr });
    this.evaluated({ step, "eval/accuracy": mean });
  }

  private evaluated(event: Record<string, unknown>): void {
    const numbers = Object.entries(event).filter(
      ([name, value]) => name.startsWith("eval/") && typeof value === "number",
    );
    // Before the first step there is no line that an evaluation could join.
    this.stage.columns.add({ ...Object.fromEntries(numbers), step: event.step as number });
  }

  private enter(name: string, steps: number): void {
    const last = this.stages.at(-1);
    // What was recalled of a run has no name until the run says where it is.
    if (last && (last.name === "" || last.name === name)) Object.assign(last, { name, steps });
    else this.begin(name, steps);
  }

  private begin(name: string, steps: number): Stage {
    const stage = { name, steps, columns: new Columns(), accuracy: [], samples: new Map() };
    this.stages.push(stage);
    return stage;
  }
}
