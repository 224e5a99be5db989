// The only file that knows the wasm module: its API, typed, and how it is loaded.

import { faultOf } from "../errors";
import type {
  CompareEvent,
  LabOptions,
  LabWork,
  RaceConfig,
  RaceEvent,
  SoFar,
  TheoryEvent,
  Trial,
} from "../lab-protocol";
import type {
  Answer,
  BenchReport,
  ChatInfo,
  DeviceInfo,
  Drawing,
  Estimate,
  Fault,
  LogsReport,
  Pair,
  PresetInfo,
  Prompt,
  RunEvent,
  Scale,
  Setting,
  TaskInfo,
} from "../protocol";
import type { Judge } from "./judge";
import { type Exports, installSecond } from "./second";
import { installTemplates } from "./template";

export type ModelSource =
  | { kind: "demo" }
  | { kind: "preset"; preset: string }
  | { kind: "files"; files: Record<string, Uint8Array> };

export interface DataFile {
  name: string;
  bytes: Uint8Array;
}

export interface RunSpec {
  model: ModelSource;
  data?: DataFile[];
  eval?: DataFile[];
  prompts?: DataFile;
  eval_prompts?: DataFile;
  settings: Record<string, unknown>;
}

/** One run's folder. Paths have `/` between names. */
export interface Store {
  read(path: string): Promise<Uint8Array | undefined>;
  /** The whole file or, whatever happens, what was there before. */
  write(path: string, bytes: Uint8Array): Promise<void>;
  append(path: string, bytes: Uint8Array): Promise<void>;
  /** Names in a folder; none where it is missing. */
  list(dir: string): Promise<string[]>;
  /** A file, or a folder with all in it. */
  remove(path: string): Promise<void>;
}

export interface Gpu {
  info(): DeviceInfo;
  destroy(): void;
}

export interface Session {
  next(): Promise<RunEvent | undefined>;
  stop(): void;
  free(): void;
}

export interface Chat {
  info(): ChatInfo;
  /** `ontext` sees the whole text so far. */
  reply(prompt: Prompt, drawing: Drawing, ontext: (text: string) => void): Promise<Answer>;
  stop(): void;
  free(): void;
}

export interface Lab {
  /** False where it was stopped. */
  race(config: RaceConfig, ontold: (event: RaceEvent) => void): Promise<boolean>;
  /** The report. */
  checks(only: string[], seed: number, ontold: (event: TheoryEvent) => void): Promise<string>;
  /** Without a trial it goes on with what lies in the store; false where it was stopped. */
  compare(store: Store, ontold: (event: CompareEvent) => void, trial?: Trial): Promise<boolean>;
  /** Of a race or a comparison. */
  stop(): void;
  free(): void;
}

export interface Engine {
  open_gpu(onfault: (fault: Fault) => void): Promise<Gpu>;
  bench(
    gpu: Gpu,
    preset: string,
    steps: number,
    objective: string,
    onstep: (done: number, total: number) => void,
  ): Promise<BenchReport>;
  presets(): PresetInfo[];
  settings(): Setting[];
  estimate(gpu: Gpu, spec: RunSpec): Promise<Estimate>;
  check_logs(name: string, bytes: Uint8Array): LogsReport;
  embedded(name: string): string | undefined;
  tasks(): string[];
  task(name: string): TaskInfo;
  Session: {
    start(gpu: Gpu, store: Store, spec: RunSpec, judge: Judge): Promise<Session>;
    resume(gpu: Gpu, store: Store, judge: Judge): Promise<Session>;
  };
  Chat: { open(gpu: Gpu, model: ModelSource): Promise<Chat> };
  compare(
    gpu: Gpu,
    before: ModelSource,
    after: ModelSource,
    prompts: string[],
    drawing: Drawing,
    scale: Scale,
    onpart: (done: number, total: number) => void,
  ): Promise<Pair[]>;
  Lab: new (gpu: Gpu) => Lab;
  lab_options(): LabOptions;
  lab_estimate(gpu: Gpu, trial: Trial): Promise<LabWork>;
  /** Needs no device; undefined where nothing lies in the store. */
  lab_look(store: Store): Promise<SoFar | undefined>;
}

/** What wasm-bindgen makes: the API, and the function that fetches the wasm and returns what it exports. */
interface Module extends Engine {
  default(): Promise<Exports>;
  fetch_second(): void;
}

// A glob, so that the page builds, and says what is missing, where nobody has built the wasm.
const built = import.meta.glob<Module>("../wasm/tbrm.js");

export async function loadEngine(): Promise<Engine> {
  const load = built["../wasm/tbrm.js"];
  if (!load) {
    throw {
      kind: "build",
      what: "this page was built without its engine",
      help: "build it with `make web`, which makes the wasm first",
    } satisfies Fault;
  }
  try {
    installTemplates();
    const engine = await load();
    installSecond(await engine.default());
    return engine;
  } catch (error) {
    const { what } = faultOf(error);
    throw {
      kind: "load",
      what: `the engine could not be loaded: ${what}`,
      help: "check the connection and reload the page; after one full load it works without a network",
    } satisfies Fault;
  }
}
