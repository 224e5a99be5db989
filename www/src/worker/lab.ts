// The lab: one piece of work at a time, beside no training. What it compares is kept in `labs/ID/`, as runs are.

import { faultOf } from "../errors";
import type {
  CompareEvent,
  LabInfo,
  LabPush,
  RaceConfig,
  RaceEvent,
  SoFar,
  TheoryEvent,
  Trial,
} from "../lab-protocol";
import type { Fault } from "../protocol";
import type { Engine, Gpu, Lab } from "./engine";
import { gathered } from "./gathered";
import type { Runs } from "./runs";

const REPORT = "report.html";

export class LabDesk {
  /** What is at work, and how it is ended. */
  private work: { end: () => void } | undefined;

  constructor(
    private readonly engine: Engine,
    private readonly gpu: () => Promise<Gpu>,
    private readonly labs: Runs,
    private readonly push: (push: LabPush) => void,
  ) {}

  get busy(): boolean {
    return this.work !== undefined;
  }

  async race(config: RaceConfig): Promise<boolean> {
    const told = gathered<RaceEvent>((events) => this.push({ type: "lab", work: "race", events }));
    const done = await this.occupied(
      (lab) => lab.race(config, told.hear),
      (lab) => lab.stop(),
    );
    told.flush();
    return done ?? false;
  }

  async checks(only: string[], seed: number): Promise<Blob | null> {
    const told = (event: TheoryEvent) => this.push({ type: "lab", work: "checks", events: [event] });
    // Nothing is kept of them: they end where they stand.
    const report = await this.occupied(
      (lab) => lab.checks(only, seed, told),
      (lab) => lab.free(),
    );
    return report === undefined ? null : new Blob([report], { type: "text/html" });
  }

  /** Begins a comparison, or goes on with one. */
  async compare(which: { name: string; trial: Trial } | { lab: string }): Promise<boolean> {
    if (this.work) throw busy();
    const id = "lab" in which ? which.lab : await this.labs.create(which.name);
    const store = await this.labs.store(id);
    const told = gathered<CompareEvent>((events) =>
      this.push({ type: "lab", work: "compare", lab: id, events }),
    );
    let release = () => {};
    try {
      release = await this.labs.lock(id);
      this.labs.changed();
      const done = await this.occupied(
        (lab) => lab.compare(store, told.hear, "trial" in which ? which.trial : undefined),
        (lab) => lab.stop(),
      );
      return done ?? false;
    } catch (error) {
      // One that never began leaves nothing behind.
      if ("trial" in which && !(await store.file("config.json"))) await this.labs.erase(id).catch(() => {});
      throw store.failure ?? faultOf(error);
    } finally {
      told.flush();
      store.end();
      release();
      this.labs.changed();
    }
  }

  stop(): void {
    this.work?.end();
  }

  async list(): Promise<LabInfo[]> {
    const entries = await this.labs.entries();
    return Promise.all(
      entries.map(async (entry) => {
        const store = await this.labs.store(entry.id);
        const files = await store.walk();
        const found = await this.engine.lab_look(store).catch(() => undefined);
        return {
          ...entry,
          bytes: files.reduce((sum, file) => sum + file.bytes, 0),
          done: found?.done ?? 0,
          runs: found?.runs ?? 0,
          finished: files.some(({ path }) => path === REPORT),
        };
      }),
    );
  }

  async look(id: string): Promise<SoFar | null> {
    return (await this.engine.lab_look(await this.labs.store(id))) ?? null;
  }

  async report(id: string): Promise<Blob> {
    const file = await (await this.labs.store(id)).file(REPORT);
    if (file) return file;
    const help = "let the comparison run to its end, which writes it";
    throw { kind: "store", what: "there is no report yet", help } satisfies Fault;
  }

  async remove(id: string): Promise<null> {
    await this.labs.remove(id);
    return null;
  }

  /** Has the lab do one thing; undefined where it was ended on the way. */
  private async occupied<T>(act: (lab: Lab) => Promise<T>, end: (lab: Lab) => void): Promise<T | undefined> {
    if (this.work) throw busy();
    let ended = false;
    let lab: Lab | undefined;
    this.work = {
      end: () => {
        if (ended) return;
        ended = true;
        if (lab) end(lab);
      },
    };
    let free = true;
    try {
      lab = new this.engine.Lab(await this.gpu());
      if (ended) return undefined;
      return await act(lab);
    } catch (error) {
      const fault = faultOf(error);
      free = fault.kind !== "freed";
      if (ended && fault.kind === "freed") return undefined;
      throw error;
    } finally {
      this.work = undefined;
      if (free) {
        try {
          lab?.free();
        } catch {
          // What crashed cannot be freed; the page ends this worker then.
        }
      }
    }
  }
}

export function busy(): Fault {
  const help = "stop it, or wait for its end";
  return { kind: "busy", what: "the lab is at work in this tab", help };
}
