import { expect, test } from "vitest";
import type { Push, RunEvent } from "../../../src/protocol";
import type { Gpu, Store } from "../../../src/worker/engine";
import type { OpfsStore } from "../../../src/worker/opfs";
import type { Runs } from "../../../src/worker/runs";
import { Training } from "../../../src/worker/session";
import { type FakeOptions, fakeEngine } from "./fake-engine";

class MemoryStore implements Store {
  readonly files = new Map<string, Uint8Array>();
  failure = undefined;
  ended = false;

  async read(path: string) {
    return this.files.get(path);
  }

  async write(path: string, bytes: Uint8Array) {
    this.files.set(path, bytes);
  }

  async append(path: string, bytes: Uint8Array) {
    this.files.set(path, Uint8Array.of(...(this.files.get(path) ?? []), ...bytes));
  }

  async list(dir: string) {
    const inside = [...this.files.keys()].filter((path) => path.startsWith(`${dir}/`));
    return [...new Set(inside.map((path) => path.slice(dir.length + 1).split("/")[0] as string))];
  }

  async remove(path: string) {
    for (const file of this.files.keys())
      if (file === path || file.startsWith(`${path}/`)) this.files.delete(file);
  }

  end() {
    this.ended = true;
  }
}

/** A training of an engine that only pretends, what it said, and the run that it writes. */
function trained(options: Partial<FakeOptions> = {}) {
  const said: Push[] = [];
  const store = new MemoryStore();
  const locks = { held: 0, taken: 0 };
  const erased: string[] = [];
  const runs = {
    create: async () => "run",
    store: async () => store as unknown as OpfsStore,
    erase: async (run: string) => void erased.push(run),
    history: async () => ({ config: {} }),
    changed() {},
    async lock() {
      locks.held += 1;
      locks.taken += 1;
      return () => {
        locks.held -= 1;
      };
    },
  } as unknown as Runs;
  const training = new Training(fakeEngine({ pace: 0, ...options }), {} as Gpu, runs, (push) =>
    said.push(push),
  );
  const spec = (steps: number) => ({
    model: { kind: "preset" as const, preset: "nano" },
    data: [],
    eval: [],
    settings: { steps },
  });
  const states = () => said.flatMap((push) => (push.type === "state" ? [push.state] : []));
  const events = () => said.flatMap((push): RunEvent[] => (push.type === "event" ? push.events : []));
  const steps = () => events().filter((event) => event.type === "step").length;
  const until = (state: string) => expect.poll(() => states().at(-1), { timeout: 5000 }).toBe(state);
  return { training, said, store, locks, erased, spec, states, events, steps, until };
}

test("a run goes from its start to its end, every event told in order, and lets go of what it held", async () => {
  const run = trained();
  await expect(run.training.start("name", run.spec(60))).resolves.toBe("run");
  await run.until("idle");
  expect(run.states()).toEqual(["starting", "training", "idle"]);
  const steps = run.events().flatMap((event) => (event.type === "step" ? [event.metrics.step] : []));
  expect(steps).toEqual(Array.from({ length: 60 }, (_, i) => i + 1));
  expect(run.events().at(-1)).toEqual({ type: "finished", step: 60, complete: true });
  expect([run.locks.taken, run.locks.held, run.store.ended]).toEqual([1, 0, true]);
});

test("paused, it takes single steps, and goes on", async () => {
  const run = trained({ pace: 2 });
  await run.training.start("name", run.spec(1000));
  await expect.poll(run.steps).toBeGreaterThan(2);
  run.training.pause();
  await run.until("paused");
  const before = run.steps();
  run.training.step();
  await expect.poll(run.steps).toBe(before + 1);
  await run.until("paused");
  expect(run.steps()).toBe(before + 1);
  run.training.proceed();
  await expect.poll(run.steps).toBeGreaterThan(before + 3);
  run.training.stop();
  await run.until("idle");
});

test("a paused run can be stopped: it is saved, and resumes where it stopped", async () => {
  const run = trained({ pace: 2 });
  await run.training.start("name", run.spec(1000));
  await expect.poll(run.steps).toBeGreaterThan(2);
  run.training.pause();
  await run.until("paused");
  run.training.stop();
  // What is said after a stop changes nothing.
  run.training.proceed();
  await run.until("idle");
  const [saved, finished] = run.events().slice(-2);
  expect(saved).toMatchObject({ type: "checkpoint" });
  expect(finished).toMatchObject({ type: "finished", complete: false });
  run.said.length = 0;
  await run.training.resume("run");
  await expect.poll(run.steps).toBeGreaterThan(0);
  const first = run.events().find((event) => event.type === "step");
  expect(first).toMatchObject({ metrics: { step: (saved as { step: number }).step + 1 } });
  run.training.stop();
  await run.until("idle");
});

test("a fault ends the run with what to do, after what came before it", async () => {
  const fault = { kind: "not-finite", what: "the loss is not finite", help: "lower the learning rate" };
  const run = trained({ fail: (step) => (step === 3 ? fault : undefined) });
  await run.training.start("name", run.spec(10));
  await run.until("idle");
  expect(run.steps()).toBe(2);
  expect(run.said.filter(({ type }) => type === "fault")).toEqual([{ type: "fault", fault }]);
  expect(run.locks.held).toBe(0);
});

test("a second run is refused while one is trained, and one that never begins leaves nothing", async () => {
  const run = trained({ pace: 2 });
  await run.training.start("name", run.spec(1000));
  await expect(run.training.start("other", run.spec(1))).rejects.toMatchObject({ kind: "busy" });
  run.training.stop();
  await run.until("idle");
  const huge = { size: 2 ** 40 } as Blob;
  const spec = { ...run.spec(1), data: [{ path: "logs.jsonl", file: huge }] };
  await expect(run.training.start("huge", spec)).rejects.toMatchObject({ kind: "too-large" });
  expect(run.erased).toEqual(["run"]);
  expect([run.locks.held, run.states().at(-1)]).toEqual([0, "idle"]);
});
