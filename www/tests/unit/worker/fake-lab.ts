// A lab that only pretends, as the engine beside it.

import type {
  ArmSummary,
  CompareEvent,
  Interval,
  LabOptions,
  RaceConfig,
  RaceEvent,
  SoFar,
  TheoryEvent,
  Trial,
} from "../../../src/lab-protocol";
import type { Fault } from "../../../src/protocol";
import type { Lab, Store } from "../../../src/worker/engine";

const OPTIONS: LabOptions = {
  tasks: [{ name: "sort", about: "puts digits in order; mistakes swap two of them" }],
  levels: [1, 2, 3, 4],
  objectives: ["tbrm", "sft", "grpo", "ppo"],
  racers: ["tbrm", "brm", "grpo"],
  race: {
    objectives: ["tbrm", "grpo"],
    source: "logs",
    logs: 512,
    actions: 3,
    horizon: 4,
    beta: 0.2,
    seed: 0,
    steps: 40,
    batch: 32,
    learning_rate: 0.005,
    look_every: 5,
  },
  checks: [
    { name: "bandit", about: "the bandit of appendix F" },
    { name: "token", about: "one residual a token against one a trajectory" },
  ],
  trial: {
    task: "sort-1",
    objectives: ["tbrm", "grpo"],
    seed: 0,
    seeds: 2,
    steps: 20,
    batch: 32,
    evaluations: 4,
    samples: 2,
    problems: 400,
    held_out: 64,
    warm_steps: 120,
  },
};

const encode = (value: unknown) => new TextEncoder().encode(JSON.stringify(value));
const decode = (bytes: Uint8Array | undefined) =>
  bytes ? JSON.parse(new TextDecoder().decode(bytes)) : undefined;
const wait = (ms: number) => new Promise((resolve) => setTimeout(resolve, ms));
const about = (mean: number): Interval => ({ mean, low: mean - 0.05, high: mean + 0.05 });

function soFar(trial: Trial, done: number): SoFar {
  const arms = trial.objectives.map(
    (name, i): ArmSummary => ({
      arm: { name },
      tuning: [],
      accuracy: about(0.8 - 0.1 * i),
      at_common_tokens: about(0.75 - 0.1 * i),
      difference: i > 0 ? about(-0.1) : null,
      each: [],
      tokens: 1800,
      seconds: about(12),
      rollout_share: 0.5,
      peak_bytes: 9_000_000,
      failed: 0,
      curve: [0, 1, 2].map((at) => ({ tokens: 900 * at, accuracy: about(0.4 + 0.2 * at - 0.05 * i) })),
    }),
  );
  const runs = trial.objectives.length * trial.seeds;
  const config = { arms: trial.objectives.map((name) => ({ name })), seeds: trial.seeds };
  return {
    config,
    done,
    runs,
    comparison: done > 0 ? { config, start: about(0.4), common_tokens: 1800, arms } : null,
  };
}

class FakeLab implements Lab {
  private stopped = false;
  private freed = false;

  constructor(private readonly pace: number) {}

  async race(config: RaceConfig, ontold: (event: RaceEvent) => void): Promise<boolean> {
    const racers = config.objectives.map((objective) => ({
      objective,
      source: objective === "tbrm" ? config.source : ("rollouts" as const),
      values: objective === "tbrm",
      exact: objective !== "grpo",
    }));
    ontold({
      type: "began",
      trajectories: config.actions ** config.horizon,
      log_z: 2.2,
      reward: 0.47,
      racers,
    });
    const lookAt = (objective: string, step: number) => {
      const left = Math.exp(-step / (objective === "tbrm" ? 10 : 30));
      const v1 = 2.2 - 1.1 * left;
      return { objective, step, trajectories: 32 * step, kl: 0.14 * left, v1, reward: 0.47 - 0.1 * left };
    };
    for (let step = 0; step <= config.steps; step++) {
      for (const objective of config.objectives) {
        if (step % config.look_every === 0) ontold({ type: "looked", ...lookAt(objective, step) });
        if (step < config.steps) ontold({ type: "step", objective, step: step + 1, steps: config.steps });
      }
      await wait(this.pace);
      if (this.stopped) return false;
    }
    const standings = config.objectives.map((objective) => {
      const { kl, v1, reward } = lookAt(objective, config.steps);
      return { objective, first_kl: 0.14, last_kl: kl, v1, reward, finished: true };
    });
    const policies = config.objectives.map(() => 0.04);
    const likely = { actions: [0, 2, 1, 1], reward: 0.7, reference: 0.012, optimal: 0.041, policies };
    ontold({ type: "finished", standings, likeliest: [likely] });
    return true;
  }

  async checks(only: string[], seed: number, ontold: (event: TheoryEvent) => void): Promise<string> {
    for (const { name } of OPTIONS.checks) {
      if (only.length > 0 && !only.includes(name)) continue;
      ontold({ type: "checking", name, done: 0, total: 2 });
      await wait(10 * this.pace);
      if (this.freed) {
        throw { kind: "freed", what: "this was freed while it was at work", help: "nothing" } satisfies Fault;
      }
      const series = [{ name: "TBRM", x: "step", y: "gap", points: [[1, 0.5] as [number, number]] }];
      const passed = name !== "token";
      ontold({ type: "checked", name, claim: "what is expected", found: "what was found", passed, series });
    }
    return `seed ${seed}`;
  }

  async compare(store: Store, ontold: (event: CompareEvent) => void, given?: Trial): Promise<boolean> {
    const trial: Trial | undefined = decode(await store.read("config.json")) ?? given;
    if (!trial) {
      throw { kind: "checkpoint", what: "there is no comparison to go on with", help: "begin another one" };
    }
    await store.write("config.json", encode(trial));
    let done: number = decode(await store.read("results.json")) ?? 0;
    const runs = trial.objectives.length * trial.seeds;
    for (; done < runs; done++) {
      const arm = trial.objectives[done % trial.objectives.length] as string;
      const seed = Math.floor(done / trial.objectives.length);
      ontold({ type: "began", what: `run/${arm}/seed-${seed}`, done, runs });
      for (let step = 1; step <= trial.steps; step++) {
        await wait(this.pace);
        ontold({ type: "step", step, steps: trial.steps, loss: 1, reward: 0.5, tokens_per_s: 1000 });
        if (this.stopped) return false;
        const accuracy = 0.4 + 0.02 * step;
        if (step % 5 === 0) ontold({ type: "measured", arm, seed, tokens: 90 * step, accuracy });
      }
      await store.write("results.json", encode(done + 1));
      ontold({ type: "ended", found: "done" });
      ontold({ type: "compared", ...soFar(trial, done + 1) });
    }
    await store.write("report.html", new TextEncoder().encode("<!doctype html>"));
    return true;
  }

  stop(): void {
    this.stopped = true;
  }

  free(): void {
    this.freed = true;
  }
}

/** The lab's part of an engine whose steps take `pace` milliseconds. */
export function fakeLab(pace: number) {
  return {
    Lab: class extends FakeLab {
      constructor() {
        super(pace);
      }
    },
    lab_options: () => OPTIONS,
    async lab_estimate(_gpu: unknown, { objectives, seeds, steps, warm_steps }: Trial) {
      const runs = objectives.length * seeds;
      const all = seeds * warm_steps + runs * steps;
      return { runs, steps: all, tokens: 300 * all, params: 106_624, total_bytes: 9_000_000 };
    },
    async lab_look(store: Store) {
      const trial = decode(await store.read("config.json"));
      return trial && soFar(trial, decode(await store.read("results.json")) ?? 0);
    },
  };
}
