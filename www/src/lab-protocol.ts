// What the page and its worker say to each other about the lab.

// What the core says stands where the wasm is made, which tests it against the core: types alone, so nothing has to be built.
import type {
  LabEvent as CompareEvent,
  LabOptions,
  LabWork,
  RaceConfig,
  RaceEvent,
  SoFar,
  TheoryEvent,
  Trial,
} from "../../web/src/types";

export type {
  ArmSummary,
  Check,
  Comparison,
  Interval,
  LabEvent as CompareEvent,
  LabOptions,
  LabWork,
  Likely,
  Look,
  RaceConfig,
  RaceEvent,
  RacerInfo,
  Series,
  SoFar,
  Standing,
  TheoryEvent,
  Trial,
} from "../../web/src/types";

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
