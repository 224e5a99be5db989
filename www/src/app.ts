// What the views share: the worker, what it said last, and who wants to hear of it.

import { Client, type Port } from "./client";
import { faultOf, isFatal } from "./errors";
import type { FaultDialog, Remedy } from "./fault";
import { LabState } from "./lab";
import { Live } from "./live";
import { remembered } from "./memory";
import type { Boot, Fault, PageState, Push, RunInfo, SpecInput, TrainState } from "./protocol";
import { RewardFrames } from "./reward/frames";

/** What changed. */
export type Topic = "boot" | "state" | "live" | "runs" | "progress" | "answer" | "closed" | "lab" | "labs";

type Progress = Extract<Push, { type: "progress" }>;

export class App {
  readonly client: Client;
  boot: Boot | undefined;
  /** Why this browser or machine cannot train. */
  unsupported: Fault | undefined;
  training: TrainState = "idle";
  /** The run that is, or was last, trained in this tab. */
  live: Live | undefined;
  runs: RunInfo[] = [];
  readonly lab = new LabState();
  progress: Progress | undefined;
  /** Ends when the engine is there, or could not be. */
  booted: Promise<void> = Promise.resolve();
  private readonly frames = new RewardFrames();
  private failed = false;
  /** Why the last worker was ended. */
  private restarted: Fault | undefined;
  private readonly listeners = new Map<Topic, ((detail: string) => void)[]>();

  constructor(
    makeWorker: () => Port,
    private readonly dialog: Pick<FaultDialog, "show">,
    /** Where a run lies that is to be shown beside the kept ones. */
    private readonly served?: string,
  ) {
    this.client = new Client(makeWorker, (push) => this.hear(push));
  }

  on(topic: Topic, listener: (detail: string) => void): void {
    this.listeners.set(topic, [...(this.listeners.get(topic) ?? []), listener]);
  }

  private tell(topic: Topic, detail = ""): void {
    for (const listener of this.listeners.get(topic) ?? []) listener(detail);
  }

  /** Loads the engine and opens the GPU; what cannot be is told by `unsupported`. */
  start(): Promise<void> {
    this.booted = this.load();
    return this.booted;
  }

  /** The lab does something else, or shows something else. */
  labChanged(): void {
    this.tell("lab");
  }

  private async load(): Promise<void> {
    if (this.served) this.client.request("serve", { url: this.served }).catch((error) => this.fault(error));
    void this.loadRuns();
    try {
      this.boot = await this.client.request("boot", {});
      this.unsupported = undefined;
    } catch (error) {
      const fault = faultOf(error);
      if (fault.kind === "adapter") this.unsupported = fault;
      else this.fault(fault);
      this.failed = true;
    }
    this.tell("boot");
    this.showState();
  }

  async loadRuns(): Promise<void> {
    try {
      this.runs = await this.client.request("runs", {});
      const gone = remembered(this.runs);
      this.tell("runs");
      if (gone) this.fault(gone);
    } catch (error) {
      this.fault(error);
    }
  }

  /** Begins to train; the promise ends when the run has begun, or could not. */
  async train(name: string, spec: SpecInput): Promise<void> {
    const live = new Live(name, Number(spec.settings.steps ?? 0));
    await this.begin(live, () => this.client.request("start", { name, spec }));
  }

  /** Goes on with a kept run from its last checkpoint. */
  async resume(run: RunInfo): Promise<void> {
    const live = new Live(run.name, run.steps);
    live.run = run.id;
    await this.begin(live, async () => {
      live.recall(await this.client.request("history", { run: run.id }), run.saved);
      return this.client.request("resume", { run: run.id });
    });
  }

  private async begin(live: Live, ask: () => Promise<{ run: string }>): Promise<void> {
    this.failed = false;
    this.live = live;
    this.tell("live");
    // Asked for where something is about to be kept, so that a person sees why.
    void navigator.storage?.persist?.();
    try {
      live.run = (await ask()).run;
    } catch (error) {
      if (this.live === live) this.live = undefined;
      this.tell("live");
      this.fault(error);
    }
  }

  /** Shows what went wrong. A fatal fault ends the worker: a new one can begin where the run was saved. */
  fault(error: unknown): void {
    // What was asked of a worker that was ended fails for the reason that was shown already.
    if (error === this.restarted) return;
    const fault = faultOf(error);
    this.failed = true;
    this.dialog.show(fault, isFatal(fault) ? this.remedy(fault) : undefined);
    this.showState();
  }

  /** The dialog was closed. */
  recovered(): void {
    this.failed = this.unsupported !== undefined;
    this.showState();
  }

  private remedy(fault: Fault): Remedy {
    const run = this.live?.complete === false ? this.live.run : undefined;
    return {
      label: run ? "Restart and go on" : "Restart",
      act: () => void this.restart(fault, run),
      dismiss: () => void this.restart(fault, undefined),
    };
  }

  private async restart(why: Fault, run: string | undefined): Promise<void> {
    this.restarted = why;
    this.training = "idle";
    this.boot = undefined;
    this.client.restart(why);
    this.frames.clear();
    this.tell("state");
    this.showState();
    await this.start();
    await this.loadRuns();
    const kept = this.runs.find(({ id }) => id === run);
    if (this.boot && kept?.resumable) await this.resume(kept);
  }

  private hear(push: Push): void {
    switch (push.type) {
      case "event":
        this.live?.hearAll(push);
        this.tell("live");
        break;
      case "state":
        this.training = push.state;
        this.tell("state");
        this.showState();
        break;
      case "fault":
        this.fault(push.fault);
        break;
      case "progress":
        this.progress = push;
        this.tell("progress");
        break;
      case "answer":
        this.tell("answer", push.text);
        break;
      case "closed":
        this.tell("closed");
        break;
      case "frame":
        this.frames.open(push.frame, push.code, push.port);
        break;
      case "unframe":
        this.frames.close(push.frame);
        break;
      case "runs":
        void this.loadRuns();
        break;
      case "lab":
        this.lab.hear(push);
        this.labChanged();
        break;
      case "labs":
        this.tell("labs");
        break;
    }
  }

  private showState(): void {
    document.body.dataset.state = this.state();
  }

  private state(): PageState {
    if (this.failed) return "error";
    if (this.training === "paused") return "paused";
    if (this.training !== "idle") return "training";
    if (!this.boot) return "loading";
    return this.live?.complete ? "done" : "ready";
  }
}
