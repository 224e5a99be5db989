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

export type Objective = "tbrm" | "brm" | "sft";

/** What the browser's GPU is and can do. Sizes are bytes. */
export interface DeviceInfo {
  name: string;
  /** A processor pretends to be a GPU: slow. */
  software: boolean;
  subgroups: boolean;
  subgroup_size: number;
  f16: boolean;
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
  /** Of every step, those of the warm-up too. */
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
