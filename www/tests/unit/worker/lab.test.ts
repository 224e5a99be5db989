import { expect, test } from "vitest";
import type { LabPush } from "../../../src/lab-protocol";
import type { Gpu } from "../../../src/worker/engine";
import { LabDesk } from "../../../src/worker/lab";
import type { OpfsStore } from "../../../src/worker/opfs";
import type { Runs } from "../../../src/worker/runs";
import { fakeEngine } from "./fake-engine";
import { fakeLab } from "./fake-lab";

/** A store in memory, as far as the lab uses one. */
class Shelf {
  readonly files = new Map<string, Uint8Array>();
  failure = undefined;
  ended = 0;

  async read(path: string) {
    return this.files.get(path);
  }

  async file(path: string) {
    const bytes = this.files.get(path);
    return bytes && new Blob([bytes as Uint8Array<ArrayBuffer>]);
  }

  async write(path: string, bytes: Uint8Array) {
    this.files.set(path, bytes);
  }

  async walk() {
    return [...this.files].map(([path, { length }]) => ({ path, bytes: length }));
  }

  end() {
    this.ended += 1;
  }
}

function desk(pace = 0) {
  const said: LabPush[] = [];
  const shelf = new Shelf();
  const locks = { held: 0 };
  const erased: string[] = [];
  const labs = {
    create: async () => "lab",
    store: async () => shelf as unknown as OpfsStore,
    erase: async (id: string) => void erased.push(id),
    entries: async () => [{ id: "lab", name: "Comparison", created: 1, busy: false }],
    changed() {},
    async lock() {
      locks.held += 1;
      return () => {
        locks.held -= 1;
      };
    },
  } as unknown as Runs;
  const engine = fakeEngine({ pace });
  const made = new LabDesk(
    engine,
    async () => ({}) as Gpu,
    labs,
    (push) => said.push(push),
  );
  return { desk: made, said, shelf, locks, erased, engine };
}

const { race, trial } = fakeLab(0).lab_options();

test("a race is told to its end, and steps that come fast are told together", async () => {
  const { desk: lab, said } = desk();
  expect(await lab.race(race)).toBe(true);
  const events = said.flatMap((push) => (push.type === "lab" && push.work === "race" ? push.events : []));
  expect(events[0]?.type).toBe("began");
  expect(events.at(-1)?.type).toBe("finished");
  expect(events.filter(({ type }) => type === "step")).toHaveLength(80);
  expect(said.length).toBeLessThan(events.length / 2);
  expect(lab.busy).toBe(false);
});

test("the lab does one thing at a time, and stops when it is asked to", async () => {
  const { desk: lab } = desk(5);
  const racing = lab.race(race);
  expect(lab.busy).toBe(true);
  await expect(lab.race(race)).rejects.toMatchObject({ kind: "busy" });
  await expect(lab.compare({ name: "Comparison", trial })).rejects.toMatchObject({ kind: "busy" });
  await new Promise((resolve) => setTimeout(resolve, 20));
  lab.stop();
  lab.stop();
  expect(await racing).toBe(false);
  expect(lab.busy).toBe(false);
  const checking = lab.checks([], 0);
  await new Promise((resolve) => setTimeout(resolve, 20));
  lab.stop();
  expect(await checking).toBeNull();
  expect(await (await lab.checks(["bandit"], 3))?.text()).toBe("seed 3");
});

test("a comparison that was stopped goes on where it was, and nobody holds what it wrote", async () => {
  const { desk: lab, said, shelf, locks } = desk(2);
  const comparing = lab.compare({ name: "Comparison", trial });
  while (shelf.files.get("results.json") === undefined)
    await new Promise((resolve) => setTimeout(resolve, 5));
  expect(locks.held).toBe(1);
  lab.stop();
  expect(await comparing).toBe(false);
  expect([locks.held, shelf.ended]).toEqual([0, 1]);
  const [kept] = await lab.list();
  expect(kept).toMatchObject({ id: "lab", runs: 4, finished: false });
  await expect(lab.report("lab")).rejects.toMatchObject({ kind: "store" });
  said.length = 0;
  expect(await lab.compare({ lab: "lab" })).toBe(true);
  const began = said.flatMap((push) =>
    push.type === "lab" && push.work === "compare" ? push.events : [],
  )[0];
  expect(began).toMatchObject({ type: "began", done: kept?.done });
  expect((await lab.list())[0]).toMatchObject({ done: 4, finished: true });
  expect(await (await lab.report("lab")).text()).toContain("doctype");
});

test("a comparison that never began leaves nothing behind", async () => {
  const { desk: lab, erased, locks, engine } = desk();
  engine.Lab = class extends fakeLab(0).Lab {
    override async compare(): Promise<boolean> {
      throw { kind: "config", what: "`batch` is 3", help: "give another" };
    }
  };
  await expect(lab.compare({ name: "Comparison", trial })).rejects.toMatchObject({ kind: "config" });
  expect([erased, locks.held, lab.busy]).toEqual([["lab"], 0, false]);
});
