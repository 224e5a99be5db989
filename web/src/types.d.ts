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
    | "panic";
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
