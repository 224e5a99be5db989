// What the page and its worker say to each other about the lab.

/** Who may race to the optimum, and on which tree. */
export interface RaceConfig {
  objectives: string[];
  /** Where the objectives that can learn from logs take trajectories from; the others always draw their own. */
  source: "logs" | "rollouts";
  logs: number;
  /** Tokens to choose from, and how many of them make a trajectory. */
  actions: number;
  horizon: number;
  beta: number;
  seed: number;
  steps: number;
  /** Trajectories in a step. */
  batch: number;
  learning_rate: number;
  look_every: number;
}

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
  trajectories: number;
  /** KL(pi || pi*), in nats. */
  kl: number;
  v1: number;
  /** The expected reward. */
  reward: number;
}

export interface Standing {
  objective: string;
  first_kl: number;
  last_kl: number;
  v1: number;
  reward: number;
  finished: boolean;
}

/** A trajectory's probabilities; `policies` by the order of the contenders. */
export interface Likely {
  actions: number[];
  reward: number;
  reference: number;
  optimal: number;
  policies: number[];
}

export type RaceEvent =
  | { type: "began"; trajectories: number; log_z: number; reward: number; racers: RacerInfo[] }
  | { type: "step"; objective: string; step: number; steps: number }
  | ({ type: "looked" } & Look)
  | { type: "out"; objective: string; why: string }
  | { type: "finished"; standings: Standing[]; likeliest: Likely[] };

export interface Series {
  name: string;
  /** What x is. */
  x: string;
  y: string;
  points: [number, number][];
}

/** A check of the theory, done. */
export interface Check {
  name: string;
  /** What is expected. */
  claim: string;
  found: string;
  passed: boolean;
  series: Series[];
}

export type TheoryEvent =
  | { type: "checking"; name: string; done: number; total: number }
  | ({ type: "checked" } & Check);

/** A comparison on a small budget. */
export interface Trial {
  /** With its level, as in `sort-1`. */
  task: string;
  objectives: string[];
  seed: number;
  seeds: number;
  steps: number;
  batch: number;
  evaluations: number;
  samples: number;
  problems: number;
  held_out: number;
  warm_steps: number;
}

/** What can be chosen, and what is chosen where nothing is. */
export interface LabOptions {
  tasks: { name: string; about: string }[];
  levels: number[];
  objectives: string[];
  racers: string[];
  race: RaceConfig;
  checks: { name: string; about: string }[];
  trial: Trial;
}

/** What a comparison will take. */
export interface LabWork {
  runs: number;
  steps: number;
  tokens: number;
  params: number;
  /** Of GPU memory, of the largest run. */
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
  arm: { name: string };
  /** At the end. */
  accuracy: Interval;
  at_common_tokens: Interval;
  /** To the first objective; null of that itself. */
  difference: Interval | null;
  seconds: Interval;
  peak_bytes: number;
  failed: number;
  curve: { tokens: number; accuracy: Interval }[];
}

export interface Comparison {
  /** Accuracy before any training. */
  start: Interval;
  common_tokens: number | null;
  arms: ArmSummary[];
}

/** Where a comparison stands. */
export interface SoFar {
  config: { arms?: { name: string }[]; seeds?: number; steps?: number; start?: { task?: { task?: string } } };
  done: number;
  runs: number;
  comparison: Comparison | null;
}

export type CompareEvent =
  | { type: "began"; what: string; done: number; runs: number }
  | { type: "step"; step: number; steps: number; loss: number; reward: number | null; tokens_per_s: number }
  /** Of the run under way. */
  | { type: "measured"; arm: string; seed: number; tokens: number; accuracy: number }
  | { type: "ended"; found: string }
  | ({ type: "compared" } & SoFar);

/** A comparison that this browser keeps. */
export interface LabInfo {
  id: string;
  name: string;
  /** Milliseconds since 1970. */
  created: number;
  /** Some tab works on it. */
  busy: boolean;
  bytes: number;
  done: number;
  runs: number;
  /** Its report is there. */
  finished: boolean;
}

export interface LabCalls {
  lab_options: { args: Record<string, never>; reply: LabOptions };
  lab_estimate: { args: { trial: Trial }; reply: LabWork };
  /** Whether it ran to its end; false where it was stopped. */
  lab_race: { args: { config: RaceConfig }; reply: boolean };
  /** The report; null where it was stopped. */
  lab_checks: { args: { only: string[]; seed: number }; reply: Blob | null };
  lab_compare: { args: { name: string; trial: Trial }; reply: boolean };
  lab_resume: { args: { lab: string }; reply: boolean };
  lab_stop: { args: Record<string, never>; reply: null };
  labs: { args: Record<string, never>; reply: LabInfo[] };
  lab_look: { args: { lab: string }; reply: SoFar | null };
  lab_report: { args: { lab: string }; reply: Blob };
  lab_remove: { args: { lab: string }; reply: null };
}

export type LabPush =
  | { type: "lab"; work: "race"; events: RaceEvent[] }
  | { type: "lab"; work: "checks"; events: TheoryEvent[] }
  | { type: "lab"; work: "compare"; lab: string; events: CompareEvent[] }
  /** The kept comparisons changed, here or in another tab. */
  | { type: "labs" };
