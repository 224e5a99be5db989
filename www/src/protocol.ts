// What the page and its worker say to each other. The page asks, the worker answers; what happens by itself is pushed.

import type {
  BenchReport,
  ChatInfo,
  DeviceInfo,
  Drawing as DrawnBy,
  Estimate,
  LogsReport,
  Pair,
  PresetInfo,
  Prompt,
  RunEvent,
  Sample,
  Scale,
  Setting,
  TaskInfo,
} from "../../web/src/types";
import type { LabCalls, LabPush } from "./lab-protocol";

export type {
  BenchReport,
  ChatInfo,
  Continued,
  DeviceInfo,
  Estimate,
  LogsReport,
  Metrics,
  Pair,
  PresetInfo,
  Prompt,
  RunEvent,
  Sample,
  SampleToken,
  Scale,
  Setting,
  TaskInfo,
} from "../../web/src/types";

/** What went wrong and where, and what to do: an error of the core, or one of the page's own. */
export interface Fault {
  kind: string;
  what: string;
  help: string;
}

/** Files of the person's: the worker reads them, so that the page never waits. */
export interface NamedFile {
  /** Relative to the folder that was chosen. */
  path: string;
  file: Blob;
}

export type ModelInput =
  | { kind: "demo" }
  | { kind: "preset"; preset: string }
  | { kind: "files"; files: NamedFile[] }
  /** The newest model of a run that is kept, or the one that it began with. */
  | { kind: "run"; run: string; which: "first" | "newest" };

/** What a run is made of. */
export interface SpecInput {
  model: ModelInput;
  data: NamedFile[];
  eval: NamedFile[];
  /** What the model is asked: this makes it an online run, in which `data` is mixed into the steps. */
  prompts?: NamedFile;
  /** What it is asked to measure it. */
  evalPrompts?: NamedFile;
  settings: Record<string, unknown>;
}

/** What is left out is as the core has it. */
export type Drawing = Partial<DrawnBy>;

/** A log record but for its reward. */
export interface Logged {
  prompt: Prompt;
  completion: string;
  truncated?: boolean;
}

export interface Answer {
  text: string;
  tokens: number;
  /** Whether the model ended it, and not the limit or the person. */
  finished: boolean;
  /** None where nothing was said. */
  record: Logged | null;
}

/** A run that is kept in this browser. */
export interface RunInfo {
  id: string;
  name: string;
  /** Milliseconds since 1970. */
  created: number;
  /** Optimizer steps done, and wanted; 0 where they are not known. */
  step: number;
  steps: number;
  /** The steps of its newest checkpoint: what a reload loses is what came after. */
  saved: number;
  loss: number | null;
  accuracy: number | null;
  finished: boolean;
  /** Whether it can go on in this browser: what it was made of is there. */
  resumable: boolean;
  /** A tab of this browser trains it. */
  busy: boolean;
  /** It is not kept here, but lies where the page came from. */
  served: boolean;
  bytes: number;
}

/** A run's metrics, column by column. A value that a step lacks is NaN. */
export interface History {
  columns: Record<string, Float64Array>;
  /** The steps that have samples. */
  sampled: number[];
  config: Record<string, unknown>;
  /** After each stage of the demo that is over. */
  accuracy: { stage: string; mean: number; stderr: number }[];
}

/** What a run was made from. */
export interface GivenFiles {
  model: NamedFile[];
  data: NamedFile[];
  eval: NamedFile[];
  /** Of an online run, the held-out ones too. */
  prompts: NamedFile[];
}

export interface StoredFile {
  path: string;
  bytes: number;
}

/** An answer that a person rated: a log record. */
export interface Feedback extends Logged {
  id: string;
  reward: number;
}

export interface StorageInfo {
  usage: number;
  quota: number;
}

export interface Boot {
  device: DeviceInfo;
  presets: PresetInfo[];
  settings: Setting[];
  /** The names of embedded tasks. */
  tasks: string[];
}

export type TrainState = "idle" | "starting" | "training" | "paused" | "stopping";

/** Every request: what it takes and what it answers. */
export interface Calls extends LabCalls {
  boot: { args: Record<string, never>; reply: Boot };
  bench: { args: { preset: string; steps: number; objective: string }; reply: BenchReport };
  /** Loses the device, as a driver's crash would. */
  destroy: { args: Record<string, never>; reply: null };

  check: { args: { file: NamedFile }; reply: LogsReport };
  /** Records that need no file, by their name. */
  embedded: { args: { name: string }; reply: Blob | null };
  task: { args: { name: string }; reply: TaskInfo };
  estimate: { args: { spec: SpecInput }; reply: Estimate };
  start: { args: { name: string; spec: SpecInput }; reply: { run: string } };
  resume: { args: { run: string }; reply: { run: string } };
  pause: { args: Record<string, never>; reply: null };
  proceed: { args: Record<string, never>; reply: null };
  step: { args: Record<string, never>; reply: null };
  stop: { args: Record<string, never>; reply: null };

  chat_open: { args: { model: ModelInput }; reply: ChatInfo };
  chat: { args: { prompt: Prompt; drawing: Drawing }; reply: Answer };
  /** Ends the answer that is being written, which is then as long as it is. */
  chat_stop: { args: Record<string, never>; reply: null };
  chat_close: { args: Record<string, never>; reply: null };
  /** Continues the prompts by the first and the newest model of a run, with the same random numbers. */
  compare: { args: { run: string; prompts: string[]; drawing: Drawing; scale: Scale }; reply: Pair[] };
  feedback: { args: Record<string, never>; reply: Feedback[] };
  rate: { args: { feedback: Feedback }; reply: null };
  unrate: { args: { id: string }; reply: null };

  runs: { args: Record<string, never>; reply: RunInfo[] };
  history: { args: { run: string }; reply: History };
  samples: { args: { run: string; step: number }; reply: Sample[] };
  rename: { args: { run: string; name: string }; reply: null };
  remove: { args: { run: string }; reply: null };
  files: { args: { run: string }; reply: StoredFile[] };
  file: { args: { run: string; path: string }; reply: Blob };
  archive: { args: { run: string; folder: string }; reply: Blob };
  load: { args: { name: string; files: NamedFile[] }; reply: { run: string } };
  /** Gives a run that was made elsewhere what it was made from, so that it can go on here. */
  give: { args: { run: string } & GivenFiles; reply: null };
  /** Shows the run whose files lie at `url`, beside those that are kept: what `tbrm serve --run` serves. */
  serve: { args: { url: string }; reply: null };
  storage: { args: Record<string, never>; reply: StorageInfo };
}

export type Call = keyof Calls;

export type Request = { [C in Call]: { id: number; type: C; args: Calls[C]["args"] } }[Call];

export type Reply = { id: number; ok: unknown } | { id: number; error: Fault };

export type Push =
  | { type: "event"; run: string; events: RunEvent[] }
  | { type: "state"; run: string | null; state: TrainState }
  | { type: "fault"; fault: Fault }
  | { type: "progress"; what: string; done: number; total: number }
  /** All that there is of the answer that is being written. */
  | { type: "answer"; text: string }
  /** The model that was open to answer is not any more: something else needs the device's memory. */
  | { type: "closed" }
  /** A reward that the person wrote wants a frame to run in; `port` is for what it says. */
  | { type: "frame"; frame: number; code: string; port: MessagePort }
  /** And wants it no more. */
  | { type: "unframe"; frame: number }
  /** The kept runs changed, here or in another tab. */
  | { type: "runs" }
  | LabPush;

export type FromWorker = Reply | Push;

/** The states of `document.body.dataset.state`. */
export type PageState = "loading" | "ready" | "training" | "paused" | "done" | "error";
