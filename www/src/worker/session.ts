// The training loop. It runs in the worker alone and knows no timers, so that a hidden tab goes on.

import { faultOf } from "../errors";
import type { Fault, Push, RunEvent, SpecInput, TrainState } from "../protocol";
import type { Engine, Gpu, Session } from "./engine";
import { gathered } from "./gathered";
import { specOf } from "./input";
import { Judge } from "./judge";
import type { OpfsStore } from "./opfs";
import type { Runs } from "./runs";
import { fetchSecond } from "./second";

export class Training {
  private state: TrainState = "idle";
  private run: string | null = null;
  /** What the person wants the loop to do next. */
  private wish: "go" | "pause" | "step" | "stop" = "go";
  private wake = () => {};
  private readonly events = gathered<RunEvent>((events) => {
    if (this.run !== null) this.push({ type: "event", run: this.run, events });
  });
  /** Asks rewards that a person wrote. */
  private readonly judge: Judge;

  constructor(
    private readonly engine: Engine,
    private readonly gpu: Gpu,
    private readonly runs: Runs,
    private readonly push: (push: Push, transfer?: Transferable[]) => void,
  ) {
    this.judge = new Judge(push);
  }

  get busy(): boolean {
    return this.state !== "idle";
  }

  async start(name: string, input: SpecInput): Promise<string> {
    // Its last stage is online. Where it cannot be had, that stage says so.
    if (input.model.kind === "demo") void fetchSecond().catch(() => {});
    return this.begin({ name, discard: true }, async (store) => {
      if (input.prompts) await fetchSecond();
      const spec = await specOf(input, this.runs);
      return this.engine.Session.start(this.gpu, store, spec, this.judge);
    });
  }

  async resume(run: string): Promise<string> {
    const open = async (store: OpfsStore) => {
      const { config } = await this.runs.history(run);
      if (typeof config.prompts === "string" || config.demo) await fetchSecond();
      return this.engine.Session.resume(this.gpu, store, this.judge);
    };
    return this.begin({ run, discard: false }, open);
  }

  pause(): void {
    this.want("pause");
  }

  proceed(): void {
    this.want("go");
  }

  step(): void {
    this.want("step");
  }

  stop(): void {
    if (this.state !== "idle") this.become("stopping");
    this.want("stop");
  }

  private want(wish: Training["wish"]): void {
    if (this.wish === "stop" && this.state !== "idle") return;
    this.wish = wish;
    this.wake();
  }

  private async begin(
    which: { name: string; discard: true } | { run: string; discard: false },
    open: (store: OpfsStore) => Promise<Session>,
  ): Promise<string> {
    if (this.state !== "idle") throw trainingBusy();
    this.wish = "go";
    this.become("starting");
    let release = () => {};
    let store: OpfsStore | undefined;
    try {
      const run = which.discard ? await this.runs.create(which.name) : which.run;
      this.run = run;
      store = await this.runs.store(run);
      release = await this.runs.lock(run);
      void this.train(await open(store), store, release);
      return run;
    } catch (error) {
      const fault = store?.failure ?? faultOf(error);
      store?.end();
      // A run that never began leaves nothing behind.
      if (which.discard && this.run) await this.runs.erase(this.run).catch(() => {});
      release();
      this.run = null;
      this.become("idle");
      throw fault;
    }
  }

  private async train(session: Session, store: OpfsStore, release: () => void): Promise<void> {
    try {
      this.become("training");
      this.runs.changed();
      await this.loop(session);
    } catch (error) {
      this.events.flush();
      this.push({ type: "fault", fault: store.failure ?? faultOf(error) });
    }
    try {
      session.free();
    } catch {
      // A session that crashed cannot be freed; the page ends this worker then.
    }
    this.judge.close();
    store.end();
    release();
    this.events.flush();
    this.become("idle");
    this.run = null;
    this.runs.changed();
  }

  private async loop(session: Session): Promise<void> {
    let stopping = false;
    for (;;) {
      if (this.wish === "pause") {
        await this.rest();
        continue;
      }
      if (this.wish === "stop" && !stopping) {
        stopping = true;
        session.stop();
      }
      const event = await session.next();
      if (!event) return;
      this.hear(event);
      if (event.type === "step" && this.wish === "step") this.wish = "pause";
      await breathe();
    }
  }

  private async rest(): Promise<void> {
    this.events.flush();
    this.become("paused");
    await new Promise<void>((wake) => {
      this.wake = wake;
    });
    this.wake = () => {};
    if (this.wish !== "stop") this.become("training");
  }

  private hear(event: RunEvent): void {
    this.events.hear(event);
    if (event.type === "checkpoint") this.runs.changed();
  }

  private become(state: TrainState): void {
    if (this.state === state) return;
    this.state = state;
    this.push({ type: "state", run: this.run, state });
  }
}

export function trainingBusy(): Fault {
  const help = "stop it first; it is saved, and can be resumed";
  return { kind: "busy", what: "a run is being trained in this tab", help };
}

const channel = new MessageChannel();
const waiting: (() => void)[] = [];
channel.port1.onmessage = () => waiting.shift()?.();

/** Lets the worker hear what the page says: events that are at hand already would come without a pause. */
function breathe(): Promise<void> {
  return new Promise((resolve) => {
    waiting.push(resolve);
    channel.port2.postMessage(null);
  });
}
