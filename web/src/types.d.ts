/** What went wrong and where, and what to do about it: thrown by every call, and told to `onfault`. */
export interface Fault {
  kind:
    | "adapter"
    | "device"
    | "too_large"
    | "model"
    | "tokenizer"
    | "data"
    | "config"
    | "not_finite"
    | "checkpoint"
    | "store"
    | "check"
    | "panic"
    /** A call came before the one before it was over. */
    | "busy"
    /** What was at work was freed, as asked. */
    | "freed";
  what: string;
  help: string;
}

export type Objective = "tbrm" | "brm" | "sft" | "reinforce" | "rloo" | "grpo" | "dpo" | "a2po" | "tba" | "hybrid" | "ppo";

/** What the browser's GPU is and can do. Sizes are bytes. */
export interface DeviceInfo {
  name: string;
  /** A processor pretends to be a GPU: slow. */
  software: boolean;
  subgroups: boolean;
  subgroup_size: number;
  f16: boolean;
  int64: boolean;
  timestamps: boolean;
  pipeline_cache: boolean;
  max_binding: number;
  max_buffer: number;
  max_groups: number;
}

/** A named model size, and the batch that `bench` runs on it. */
export interface PresetInfo {
  name: string;
  params: number;
  vocab_size: number;
  num_hidden_layers: number;
  hidden_size: number;
  /** Tokens in a sequence. */
  tokens: number;
  /** Sequences in an optimizer step. */
  sequences: number;
}

/** The fields of `tbrm bench --json`. */
export interface BenchReport {
  preset: string;
  /** The adapter's name. */
  device: string;
  /** The adapter, its backend and driver. */
  driver: string;
  dtype: string;
  tokens_per_s: number;
  /** The median step. */
  step_ms: number;
  first_step_ms: number;
  /** Planned memory. */
  peak_bytes: number;
  params: number;
  /** Of every step, measured or not. */
  losses: number[];
}

/** A setting of a run: a key of its config.json. */
export interface Setting {
  name: string;
  /** Null where the data decides. */
  default: unknown;
  kind: "number" | "integer" | "choice" | "bool" | "texts" | "numbers";
  choices?: string[];
  /** One sentence. */
  help: string;
  /** Whether only runs that draw their own completions have it. */
  online: boolean;
}

/** An embedded task as files of records. */
export interface TaskInfo {
  /** What is asked: one line. */
  description: string;
  /** Prompts with answers. */
  prompts: string;
  /** The same, of held-out problems. */
  held_out: string;
  /** Completions of the former with their rewards, half of them wrong: a log. */
  demonstrations: string;
  /** What a completion may have of tokens, for a model that reads bytes. */
  max_new_tokens: number;
}

/** What asks functions of the user: the reward `javascript:SOURCE`, where SOURCE is `(record, completion) => number`. */
export interface Judge {
  /**
   * A number or an error for each completion, in their order; one call a round. Where not `all` are wanted it may end with the
   * first error. The error's words follow the reward's name.
   */
  score(
    source: string,
    asked: { record: Record<string, unknown>; completion: string }[],
    all: boolean,
  ): Promise<({ score: number } | { error: string })[]>;
}

export type ModelSource =
  /** The embedded task, told from random weights to TBRM; its settings are `seed` and `short`. */
  | { kind: "demo" }
  /** Random weights in a named shape; text as bytes. */
  | { kind: "preset"; preset: string }
  /** A Hugging Face model folder: bytes by file name. */
  | { kind: "files"; files: Record<string, Uint8Array> };

export interface RunSpec {
  model: ModelSource;
  data?: { name: string; bytes: Uint8Array }[];
  /** Held out. */
  eval?: { name: string; bytes: Uint8Array }[];
  /** What the model is asked: this makes it an online run, in which `data` is mixed into the steps. */
  prompts?: { name: string; bytes: Uint8Array };
  /** What it is asked to measure it. */
  eval_prompts?: { name: string; bytes: Uint8Array };
  /** By their names in `settings()`; null stands for the default. */
  settings: Record<string, unknown>;
}

/** One run's folder. Paths have `/` between names. What is thrown should be a `Fault`. */
export interface Store {
  read(path: string): Promise<Uint8Array | undefined>;
  /** The whole file or, whatever happens, what was there before. */
  write(path: string, bytes: Uint8Array): Promise<void>;
  append(path: string, bytes: Uint8Array): Promise<void>;
  /** Names in a folder; none where it is missing. */
  list(dir: string): Promise<string[]>;
  /** A file, or a folder with all in it; that there is none is no error. */
  remove(path: string): Promise<void>;
}

/** What a model can be told. */
export interface ChatInfo {
  /** Whether it has a chat template, so that it takes messages. */
  conversations: boolean;
  /** Tokens of prompt and answer at most. */
  positions: number;
}

/** Text as it is, or a conversation for the model's chat template. */
export type Prompt = string | { role: string; content: string }[];

/** How an answer is drawn. */
export interface Drawing {
  /** 0 takes the most likely token. */
  temperature: number;
  /** How many of the most likely tokens remain; 0 for all. */
  top_k: number;
  /** The smallest set of most likely tokens of this probability remains; 1 for all. */
  top_p: number;
  max_new_tokens: number;
  /** The same prompt is answered alike with the same seed. */
  seed: number;
}

/** What was said. */
export interface Answer {
  text: string;
  tokens: number;
  /** Whether the model ended it. */
  finished: boolean;
  /** A record but for its reward; null where nothing was said. */
  record: { prompt: Prompt; completion: string; truncated?: true } | null;
}

/** What decides the advantages: settings of the run. */
export interface Scale {
  beta: number;
  /** 1 where it is left out. */
  logit_scale?: number;
}

/** A prompt with both its completions. */
export interface Pair {
  prompt: string;
  before: Continued;
  after: Continued;
}

/** A completion that one of two models drew and both have judged. */
export interface Continued {
  text: string;
  /** Whether the model ended it. */
  finished: boolean;
  /** Its log-prob after the training, less that before it. */
  rho: number;
  tokens: SampleToken[];
}

/** A token with what a model and its reference make of it. */
export interface SampleToken {
  text: string;
  /** beta * (logp - ref_logp). */
  advantage: number;
  /** None in files of earlier versions. */
  logp?: number;
  ref_logp?: number;
}

/** What a run will take, known before anything is allocated. Sizes are bytes. */
export interface Estimate {
  params: number;
  weight_bytes: number;
  /** Weights, gradients, both moments, activations and batches. */
  total_bytes: number;
  arena_bytes: number;
  live_bytes: number;
  /** Optimizer steps. */
  steps: number;
  /** Of all steps, prompts and completions. */
  tokens: number;
  /** Tokens and completion rows of the largest micro-batch. */
  largest: [number, number];
}

/** The report of `tbrm logs check`. */
export interface LogsReport {
  file: string;
  records: number;
  rejected: number;
  reasons: { field: string | null; reason: string; count: number; lines: number[] }[];
  prompts: number;
  duplicates: number;
  contradicting_duplicates: number;
  empty_completions: number;
  truncated: number;
  conversations: number;
  with_logps: number;
  reward: {
    count: number;
    mean: number;
    std: number;
    min: number;
    max: number;
    histogram: { from: number; to: number; count: number }[];
  } | null;
  prompts_with_contrast: number;
  prompt_chars: Percentiles | null;
  completion_chars: Percentiles | null;
}

export interface Percentiles {
  min: number;
  p50: number;
  p90: number;
  p99: number;
  max: number;
}

/** A step's metrics, under the names of `metrics.jsonl`. */
export type Metrics = { step: number } & Record<string, number>;

/** A logged completion, and what the model now thinks of it: a line of `completions/`. */
export interface Sample {
  step: number;
  prompt: string;
  completion: string;
  reward?: number;
  /** delta = rho + V_1 - R / beta. */
  residual?: number;
  tokens: SampleToken[];
}

/** What happened; of the demo with its `stage`, `warm-start` or `tbrm`. */
export type RunEvent = { stage?: string } & (
  /** The model wrote completions, which the next steps are trained on. */
  | {
      type: "rollouts";
      round: number;
      step: number;
      completions: number;
      tokens: number;
      reward: number;
      seconds: number;
    }
  /** Its completions of held-out prompts were judged: `eval/reward`, and `eval/reward_se`. */
  | ({ type: "measured"; step: number; best: boolean } & Record<string, number | boolean | string>)
  | { type: "scoring"; done: number; total: number }
  | { type: "step"; metrics: Metrics }
  | ({ type: "evaluated"; step: number; best: boolean } & Record<string, number | boolean | string>)
  | { type: "samples"; step: number; samples: Sample[] }
  | { type: "checkpoint"; step: number; path: string }
  /** A stage of the demo begins, or goes on after `done` of its steps. */
  | { type: "stage"; stage: string; description: string; done: number; steps: number }
  /** Of held-out problems, by sampling; `seconds` of training where the stage is over. */
  | { type: "accuracy"; stage: string; step: number; mean: number; stderr: number; seconds?: number }
  | { type: "finished"; step: number; complete: boolean }
);

/** Who may race to the optimum, and on which tree. */
export interface RaceConfig {
  objectives: string[];
  /** Where tbrm, brm and tba take trajectories from; the others always draw their own. */
  source: "logs" | "rollouts";
  /** Trajectories in the logs. */
  logs: number;
  /** Tokens to choose from. */
  actions: number;
  /** Actions of a trajectory. */
  horizon: number;
  beta: number;
  seed: number;
  steps: number;
  /** Trajectories in a step. */
  batch: number;
  learning_rate: number;
  /** Steps between two looks at a policy. */
  look_every: number;
}

/** A contender. */
export interface RacerInfo {
  objective: string;
  source: "logs" | "rollouts";
  /** Whether its V_1 estimates log Z. */
  values: boolean;
  /** Whether pi* is its optimum. */
  exact: boolean;
}

/** A policy beside the optimum, enumerated. */
export interface Look {
  objective: string;
  step: number;
  /** Trained on. */
  trajectories: number;
  /** KL(pi || pi*), in nats. */
  kl: number;
  v1: number;
  /** The expected reward. */
  reward: number;
}

/** Where a contender began and ended. */
export interface Standing {
  objective: string;
  first_kl: number;
  last_kl: number;
  v1: number;
  reward: number;
  finished: boolean;
}

/** A trajectory's probabilities. */
export interface Likely {
  actions: number[];
  reward: number;
  reference: number;
  optimal: number;
  /** By the order of the contenders. */
  policies: number[];
}

/** What happens in a race. */
export type RaceEvent =
  | { type: "began"; trajectories: number; log_z: number; reward: number; racers: RacerInfo[] }
  | { type: "step"; objective: string; step: number; steps: number }
  | ({ type: "looked" } & Look)
  | { type: "out"; objective: string; why: string }
  | { type: "finished"; standings: Standing[]; likeliest: Likely[] };

/** A check's result. */
export interface Check {
  name: string;
  /** What is expected. */
  claim: string;
  found: string;
  passed: boolean;
  series: Series[];
}

/** A curve, by x. */
export interface Series {
  name: string;
  /** What x is. */
  x: string;
  y: string;
  points: [number, number][];
}

/** What happens while checks run. */
export type TheoryEvent =
  | { type: "checking"; name: string; done: number; total: number }
  | ({ type: "checked" } & Check);

/** A comparison on a small budget. */
export interface Trial {
  /** An embedded task with its level, as in `sort-1`. */
  task: string;
  /** As `tbrm compare --objectives` takes them. */
  objectives: string[];
  seed: number;
  seeds: number;
  /** Optimizer steps of a run. */
  steps: number;
  /** Completions of a step. */
  batch: number;
  /** How often accuracy is measured during a run. */
  evaluations: number;
  /** Completions of each held-out problem. */
  samples: number;
  problems: number;
  held_out: number;
  warm_steps: number;
}

/** What can be chosen in the lab, and the defaults. */
export interface LabOptions {
  tasks: { name: string; about: string }[];
  levels: number[];
  /** For a comparison. */
  objectives: string[];
  racers: string[];
  race: RaceConfig;
  checks: { name: string; about: string }[];
  trial: Trial;
}

/** What a comparison will take. */
export interface LabWork {
  runs: number;
  /** Optimizer steps of all runs and warm starts. */
  steps: number;
  /** Trained on and drawn, at most. */
  tokens: number;
  params: number;
  /** Bytes of GPU memory of the largest run. */
  total_bytes: number;
}

/** A mean with its 95% interval over seeds; null where there is too little to tell. */
export interface Interval {
  mean: number | null;
  low: number | null;
  high: number | null;
}

/** What came of an objective, over seeds. */
export interface ArmSummary {
  arm: { name: string; [more: string]: unknown };
  tuning: [number, number][];
  /** At the end. */
  accuracy: Interval;
  at_common_tokens: Interval;
  /** Of `at_common_tokens` to the first objective's with the same seed; null of the first. */
  difference: Interval | null;
  each: number[];
  tokens: number | null;
  seconds: Interval;
  rollout_share: number | null;
  /** Of GPU memory, planned. */
  peak_bytes: number;
  failed: number;
  curve: { tokens: number; accuracy: Interval }[];
}

/** The settings of a comparison. */
export type CompareConfig = { arms: { name: string; [more: string]: unknown }[]; [more: string]: unknown };

/** What the runs of a comparison come to. */
export interface Comparison {
  config: CompareConfig;
  /** Accuracy before any training. */
  start: Interval;
  /** The most tokens that every run was trained on. */
  common_tokens: number | null;
  arms: ArmSummary[];
}

/** Where a comparison stands. */
export interface SoFar {
  config: CompareConfig;
  done: number;
  runs: number;
  /** None before the first run is done. */
  comparison: Comparison | null;
}

/** What happens while objectives are compared. */
export type LabEvent =
  | { type: "began"; what: string; done: number; runs: number }
  | { type: "step"; step: number; steps: number; loss: number; reward: number | null; tokens_per_s: number }
  /** Of the run under way: accuracy after `tokens`. */
  | { type: "measured"; arm: string; seed: number; tokens: number; accuracy: number }
  | { type: "ended"; found: string }
  | ({ type: "compared" } & SoFar);
