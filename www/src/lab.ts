// The lab as its events tell it: what its charts and tables show.

import type { Curve } from "./curve";
import type {
  Check,
  CompareEvent,
  Comparison,
  Interval,
  LabPush,
  Likely,
  Look,
  RaceEvent,
  RacerInfo,
  SoFar,
  Standing,
  TheoryEvent,
} from "./lab-protocol";

export type Work = "race" | "checks" | "compare";

export class RaceState {
  trajectories = 0;
  logZ = Number.NaN;
  /** The expected reward of pi*. */
  reward = Number.NaN;
  racers: RacerInfo[] = [];
  readonly looks = new Map<string, Look[]>();
  /** Who is out, and why. */
  readonly out = new Map<string, string>();
  standings: Standing[] = [];
  likeliest: Likely[] = [];
  private readonly steps = new Map<string, number>();

  hear(event: RaceEvent): void {
    switch (event.type) {
      case "began":
        this.trajectories = event.trajectories;
        this.logZ = event.log_z;
        this.reward = event.reward;
        this.racers = event.racers;
        break;
      case "step":
        this.steps.set(event.objective, event.step / event.steps);
        break;
      case "looked":
        this.looks.set(event.objective, [...(this.looks.get(event.objective) ?? []), event]);
        break;
      case "out":
        this.out.set(event.objective, event.why);
        this.steps.set(event.objective, 1);
        break;
      case "finished":
        this.standings = event.standings;
        this.likeliest = event.likeliest;
        break;
    }
  }

  /** From 0 to 1. */
  get share(): number {
    const all = this.racers.map(({ objective }) => this.steps.get(objective) ?? 0);
    return all.length === 0 ? 0 : all.reduce((sum, share) => sum + share, 0) / all.length;
  }

  /** A number of each contender's looks, over trajectories; of those only that `shown` says. */
  curves(of: "kl" | "reward" | "v1", shown: (racer: RacerInfo) => boolean = () => true): Curve[] {
    return this.racers.flatMap((racer, colour) => {
      const looks = this.looks.get(racer.objective) ?? [];
      if (!shown(racer) || looks.length === 0) return [];
      const steps = looks.map(({ trajectories }) => trajectories);
      return [{ label: racer.objective, steps, values: looks.map((look) => look[of]), colour }];
    });
  }

  /** A value to compare with, as long as the longest curve. */
  line(label: string, value: number): Curve[] {
    const ends = [...this.looks.values()].map((looks) => looks.at(-1)?.trajectories ?? 0);
    const end = Math.max(0, ...ends);
    return end > 0 ? [{ label, steps: [0, end], values: [value, value], dashed: true }] : [];
  }
}

export class ChecksState {
  readonly done = new Map<string, Check>();
  running: { name: string; done: number; total: number } | undefined;
  report: Blob | undefined;

  hear(event: TheoryEvent): void {
    if (event.type === "checked") {
      this.done.set(event.name, event);
      this.running = undefined;
    } else {
      this.running = event;
    }
  }
}

export class CompareState {
  /** What is under way, for people. */
  what = "";
  done = 0;
  runs = 0;
  step = 0;
  steps = 0;
  soFar: SoFar | undefined;
  /** The run under way, as far as it was measured. */
  unfinished: { arm: string; seed: number; tokens: number[]; accuracy: number[] } | undefined;

  constructor(
    /** Its folder's name. */
    public lab = "",
  ) {}

  hear(event: CompareEvent): void {
    switch (event.type) {
      case "began":
        this.what = event.what;
        this.done = event.done;
        this.runs = event.runs;
        this.step = 0;
        this.unfinished = undefined;
        break;
      case "step":
        this.step = event.step;
        this.steps = event.steps;
        break;
      case "measured":
        this.measured(event);
        break;
      case "ended":
        this.unfinished = undefined;
        break;
      case "compared":
        this.soFar = event;
        this.done = event.done;
        this.runs = event.runs;
        break;
    }
  }

  /** From 0 to 1: of the runs, and of the one under way. */
  get share(): number {
    const part = this.steps > 0 ? this.step / this.steps : 0;
    // A warm start comes before its runs, and counts as none of them.
    return this.runs === 0 ? 0 : Math.min(1, (this.done + (this.unfinished ? part : 0)) / this.runs);
  }

  private measured({ arm, seed, tokens, accuracy }: Extract<CompareEvent, { type: "measured" }>): void {
    const now = this.unfinished;
    if (now?.arm === arm && now.seed === seed) {
      now.tokens.push(tokens);
      now.accuracy.push(accuracy);
    } else {
      this.unfinished = { arm, seed, tokens: [tokens], accuracy: [accuracy] };
    }
  }

  /** Accuracy over tokens: of what is done the mean with its interval, then the run under way. */
  curves(): Curve[] {
    const done = this.soFar?.comparison ? accuracyCurves(this.soFar.comparison) : [];
    const run = this.unfinished;
    if (!run) return done;
    const names = this.soFar?.config.arms.map(({ name }) => name) ?? [];
    const at = names.indexOf(run.arm);
    const colour = at < 0 ? done.length : at;
    const label = `${run.arm}, seed ${run.seed} under way`;
    // A copy: a chart keeps what it was given.
    const values = run.accuracy.map((accuracy) => 100 * accuracy);
    return [...done, { label, steps: [...run.tokens], values, colour }];
  }
}

/**
 * Each objective's accuracy over tokens, in percent, with its interval over seeds where there is one: as much of it as an
 * accuracy can be.
 */
export function accuracyCurves(comparison: Comparison): Curve[] {
  const share = (value: number | null) =>
    value === null ? Number.NaN : Math.min(100, Math.max(0, 100 * value));
  return comparison.arms.flatMap(({ arm, curve }, colour) => {
    if (curve.length === 0) return [];
    const of = (key: keyof Interval) => curve.map(({ accuracy }) => share(accuracy[key]));
    const made: Curve = {
      label: arm.name,
      steps: curve.map(({ tokens }) => Math.round(tokens)),
      values: of("mean"),
      colour,
    };
    const spread = curve.some(({ accuracy }) => accuracy.low !== null);
    return [spread ? { ...made, low: of("low"), high: of("high") } : made];
  });
}

/** What the lab does in this tab, and did last. */
export class LabState {
  working: Work | undefined;
  stopping = false;
  race = new RaceState();
  checks = new ChecksState();
  compare = new CompareState();

  begin(work: Work): void {
    this.working = work;
    this.stopping = false;
  }

  end(): void {
    this.working = undefined;
    this.stopping = false;
    this.checks.running = undefined;
    this.compare.unfinished = undefined;
  }

  hear(push: Extract<LabPush, { type: "lab" }>): void {
    switch (push.work) {
      case "race":
        for (const event of push.events) this.race.hear(event);
        break;
      case "checks":
        for (const event of push.events) this.checks.hear(event);
        break;
      case "compare":
        if (this.compare.lab !== push.lab) this.compare = new CompareState(push.lab);
        for (const event of push.events) this.compare.hear(event);
        break;
    }
  }
}
