// The runs that this browser keeps: `runs/ID/` holds one as the command lays it out, `runs/ID.json` its name.

import type { Fault, History, RunInfo, Sample } from "../protocol";
import { columnsOf, linesOf, stagesOf } from "./history";
import { OpfsStore, type RunFiles } from "./opfs";
import { ServedRun } from "./served";

interface About {
  name: string;
  created: number;
}

/** The run that lies where the page came from. */
const SERVED = "served";

const lockName = (run: string) => `tbrm-run-${run}`;

export class Runs {
  private readonly channel: BroadcastChannel;

  private served: ServedRun | undefined;
  /** The runs that this tab has locked. */
  private readonly own = new Set<string>();
  /** Those that it waits for. */
  private readonly watched = new Set<string>();

  private constructor(
    private readonly root: FileSystemDirectoryHandle,
    private readonly all: FileSystemDirectoryHandle,
    private readonly onchange: () => void,
  ) {
    this.channel = new BroadcastChannel(`tbrm-${all.name}`);
    this.channel.onmessage = () => onchange();
  }

  /** What is kept in `folder`: runs, or what else is a folder with a name and one writer. */
  static async open(onchange: () => void, folder = "runs"): Promise<Runs> {
    try {
      const root = await navigator.storage.getDirectory();
      return new Runs(root, await root.getDirectoryHandle(folder, { create: true }), onchange);
    } catch (error) {
      throw {
        kind: "store",
        what: `this browser gives the page no storage: ${(error as Error).message}`,
        help: "leave private browsing, or allow this site to store data, and reload the page",
      } satisfies Fault;
    }
  }

  /** What is kept beside the runs. */
  desk(): OpfsStore {
    return new OpfsStore(this.root, "");
  }

  async create(name: string): Promise<string> {
    const created = Date.now();
    const id = `${created.toString(36)}-${crypto.randomUUID().slice(0, 8)}`;
    await this.describe(id, { name, created });
    await this.all.getDirectoryHandle(id, { create: true });
    return id;
  }

  async store(run: string): Promise<OpfsStore> {
    try {
      return new OpfsStore(await this.all.getDirectoryHandle(run), run);
    } catch {
      throw {
        kind: "store",
        what: "this run is no longer there",
        help: "it was deleted in another tab, or the browser evicted it to free space",
      } satisfies Fault;
    }
  }

  /** Shows the run at `url` beside those that are kept. */
  serve(url: string): void {
    this.served = new ServedRun(url);
    this.onchange();
  }

  /** A run's files, to look at. */
  async files(run: string): Promise<RunFiles> {
    return run === SERVED && this.served ? this.served : this.store(run);
  }

  /** The folders, the newest first, and whether some tab writes them. */
  async entries(): Promise<(About & { id: string; busy: boolean })[]> {
    const ids: string[] = [];
    for await (const handle of this.all.values()) if (handle.kind === "directory") ids.push(handle.name);
    const busy = await locked();
    for (const id of ids) if (busy.has(lockName(id)) && !this.own.has(id)) this.watch(id);
    const entries = await Promise.all(
      ids.map(async (id) => ({ ...(await this.about(id)), id, busy: busy.has(lockName(id)) })),
    );
    return entries.sort((a, b) => b.created - a.created);
  }

  async list(): Promise<RunInfo[]> {
    const entries = await this.entries();
    const infos = await Promise.all(
      entries.map(async (entry) => ({
        ...(await infoOf(await this.store(entry.id))),
        ...entry,
        served: false,
      })),
    );
    if (!this.served) return infos;
    const info = await infoOf(this.served);
    const about = { id: SERVED, name: "Served run", created: 0, busy: false, served: true };
    return [{ ...info, ...about, resumable: false }, ...infos];
  }

  async rename(run: string, name: string): Promise<void> {
    await this.describe(run, { ...(await this.about(run)), name });
    this.changed();
  }

  async remove(run: string): Promise<void> {
    const release = await this.lock(run);
    try {
      await this.erase(run);
    } finally {
      release();
    }
  }

  /** Removes a run that nobody else can be writing. */
  async erase(run: string): Promise<void> {
    const store = new OpfsStore(this.all, "");
    await store.remove(run);
    await store.remove(`${run}.json`);
    this.changed();
  }

  async history(run: string): Promise<History> {
    const store = await this.files(run);
    const at = await standsIn(store);
    const [metrics, config, stages] = await Promise.all([
      text(store, `${at}metrics.jsonl`),
      json(store, "config.json"),
      json(store, "stages.json"),
    ]);
    const sampled = (await store.list(`${at}completions`)).map(stepOf).filter((step) => step !== undefined);
    return {
      columns: columnsOf(linesOf(metrics ?? "")),
      sampled: sampled.sort((a, b) => a - b),
      config: (config ?? {}) as Record<string, unknown>,
      accuracy: stagesOf(stages),
    };
  }

  async samples(run: string, step: number): Promise<Sample[]> {
    const store = await this.files(run);
    const path = `${await standsIn(store)}completions/step_${String(step).padStart(6, "0")}.jsonl`;
    return linesOf((await text(store, path)) ?? "") as unknown as Sample[];
  }

  /** Makes this tab the only one that writes `run`, until what it returns is called. */
  async lock(run: string): Promise<() => void> {
    for (;;) {
      const release = await this.tryLock(run);
      if (release) return release;
      if ((await locked()).has(lockName(run))) {
        throw {
          kind: "busy",
          what: "another tab is training this run: here it can only be read",
          help: "pause or stop it in the other tab, or close that tab",
        } satisfies Fault;
      }
      // A tab that watched it has just found it free, and is about to let go.
    }
  }

  private tryLock(run: string): Promise<(() => void) | undefined> {
    return new Promise((resolve, reject) => {
      const hold = async (lock: Lock | null) => {
        if (!lock) return resolve(undefined);
        this.own.add(run);
        await new Promise<void>((release) => resolve(release));
        this.own.delete(run);
      };
      navigator.locks.request(lockName(run), { ifAvailable: true }, hold).catch(reject);
    });
  }

  /** Tells this page when another tab has let go of `run`: one that is closed says nothing itself. */
  private watch(run: string): void {
    if (this.watched.has(run)) return;
    this.watched.add(run);
    void navigator.locks.request(lockName(run), { mode: "shared" }, () => {
      this.watched.delete(run);
      // In the next task, when this lock is free again.
      setTimeout(this.onchange);
    });
  }

  /** Tells this page and all other tabs. */
  changed(): void {
    this.channel.postMessage(null);
    this.onchange();
  }

  private async describe(run: string, about: About): Promise<void> {
    await new OpfsStore(this.all, "").write(`${run}.json`, new TextEncoder().encode(JSON.stringify(about)));
  }

  private async about(run: string): Promise<About> {
    const about = (await json(new OpfsStore(this.all, ""), `${run}.json`)) as Partial<About> | undefined;
    return { name: about?.name ?? run, created: about?.created ?? 0 };
  }
}

/** The names of the locks that some tab writes under. */
async function locked(): Promise<Set<string | undefined>> {
  const { held = [] } = await navigator.locks.query();
  return new Set(held.filter(({ mode }) => mode === "exclusive").map(({ name }) => name));
}

type Facts = Omit<RunInfo, "id" | "name" | "created" | "busy" | "served">;

/** The folder of what a run is at: of the demo's last stage, a run of its own, until it is over; else the run's. */
async function standsIn(run: RunFiles): Promise<"" | "online/"> {
  const begun = (await run.list("online")).includes("metrics.jsonl");
  return begun && !(await run.list("online/model")).includes("model.safetensors") ? "online/" : "";
}

async function infoOf(run: RunFiles): Promise<Facts> {
  const at = await standsIn(run);
  const [config, stages, files, last] = await Promise.all([
    json(run, "config.json") as Promise<Config | undefined>,
    json(run, "stages.json"),
    run.walk(),
    lastLine(run, `${at}metrics.jsonl`),
  ]);
  const has = (path: string) => files.some((file) => file.path === path);
  const below = files.filter(({ path }) => path.startsWith(at)).map(({ path }) => path.slice(at.length));
  const saved = below.map((path) => /^checkpoints\/(step_\d+)\/state\.json$/.exec(path)?.[1]);
  // A demo of an earlier version has no third stage.
  const made = config?.demo?.online ? "online/model/model.safetensors" : "model/model.safetensors";
  const finished = has(made);
  const inputs = files.some((file) => file.path.startsWith("inputs/")) || config?.demo !== undefined;
  return {
    step: last.step ?? 0,
    steps: config?.steps ?? (at ? config?.demo?.online?.steps : config?.demo?.tbrm?.steps) ?? 0,
    saved: Math.max(0, ...saved.map((name) => stepOf(name ?? "") ?? 0)),
    loss: last.loss ?? null,
    accuracy: (finished ? undefined : last["eval/accuracy"]) ?? stagesOf(stages).at(-1)?.mean ?? null,
    finished,
    resumable: !finished && inputs,
    bytes: files.reduce((sum, file) => sum + file.bytes, 0),
  };
}

interface Config {
  steps?: number;
  demo?: { tbrm?: { steps?: number }; online?: { steps?: number } };
}

/** The number in `step_NNNNNN` or `step_NNNNNN.jsonl`. */
function stepOf(name: string): number | undefined {
  const found = /^step_(\d+)(\.jsonl)?$/.exec(name);
  return found ? Number(found[1]) : undefined;
}

async function text(store: RunFiles, path: string): Promise<string | undefined> {
  return store.look(path, (file) => file.text());
}

async function json(store: RunFiles, path: string): Promise<unknown> {
  try {
    return JSON.parse((await text(store, path)) ?? "null") ?? undefined;
  } catch {
    return undefined;
  }
}

/** The last whole line, without reading what comes before. */
async function lastLine(store: RunFiles, path: string): Promise<Record<string, number>> {
  const tail = await store.look(path, (file) => file.slice(Math.max(0, file.size - 8192)).text());
  return (linesOf(tail ?? "").at(-1) ?? {}) as Record<string, number>;
}
