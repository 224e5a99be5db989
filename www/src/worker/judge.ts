// What asks a person's own rewards, each in a frame that the page makes: one completion after the other, and not for ever.

import type { Push } from "../protocol";
import { codeOf, LINES_BEFORE } from "../reward/code";

/** A completion to be judged: what the function is given. */
export interface Asked {
  record: Record<string, unknown>;
  completion: string;
}

/** A number, which may be none that is finite, or what went wrong, in words that follow the reward's name. */
export type Verdict = { score: number } | { error: string };

/** Milliseconds that a reward may take for one completion. */
const LIMIT = 3000;
/** And to begin: a busy machine may take its time to make a frame. */
const START_LIMIT = 30_000;

type Told = { score: number } | { error: string } | { ready: true } | undefined;

/** A reward that runs. */
class Running {
  private constructor(
    private readonly control: MessagePort,
    private readonly port: MessagePort,
  ) {}

  /** Ends when the reward is there, or says why it is not. */
  static async start(control: MessagePort, limit: number): Promise<Running | { error: string }> {
    const began = performance.now();
    const [first] = await heard([control], limit);
    if (!first) return { error: "was given no frame to run in" };
    if (!("port" in first)) return { error: wrong(first) };
    const running = new Running(control, first.port as MessagePort);
    // What its code does when it is read may take for ever, too.
    const told = await running.hear(Math.max(0, limit - (performance.now() - began)));
    if (told && "ready" in told) return running;
    running.close();
    return { error: told && "error" in told ? told.error : late(limit) };
  }

  async ask(asked: Asked, limit: number): Promise<Verdict | undefined> {
    this.port.postMessage(asked);
    const told = await this.hear(limit);
    return told && !("ready" in told) ? told : undefined;
  }

  close(): void {
    this.control.close();
    this.port.close();
  }

  private async hear(limit: number): Promise<Told> {
    const [told, from] = await heard([this.port, this.control], limit);
    return told && from === this.control ? { error: wrong(told) } : (told as Told);
  }
}

export class Judge {
  private readonly running = new Map<string, { id: number; reward: Promise<Running | { error: string }> }>();
  private frames = 0;

  constructor(
    private readonly push: (push: Push, transfer: Transferable[]) => void,
    private readonly limit = LIMIT,
    private readonly startLimit = START_LIMIT,
  ) {}

  /** A verdict for each of `asked`; where not `all` are wanted, up to the first that is an error or no finite number. */
  async score(source: string, asked: Asked[], all: boolean): Promise<Verdict[]> {
    const verdicts: Verdict[] = [];
    for (const one of asked) {
      const verdict = await this.one(source, one);
      verdicts.push(verdict);
      const good = "score" in verdict && Number.isFinite(verdict.score);
      if (!all && !good) break;
    }
    return verdicts;
  }

  /** Ends them all: the page removes their frames. */
  close(): void {
    for (const source of [...this.running.keys()]) this.end(source);
  }

  private async one(source: string, asked: Asked): Promise<Verdict> {
    const reward = await this.start(source);
    if (!(reward instanceof Running)) {
      this.end(source);
      return reward;
    }
    const verdict = await reward.ask(asked, this.limit);
    if (verdict) return verdict;
    // Nothing else stops a loop; the next completion is for a new one.
    this.end(source);
    return { error: late(this.limit) };
  }

  private start(source: string): Promise<Running | { error: string }> {
    const known = this.running.get(source);
    if (known) return known.reward;
    const { port1, port2 } = new MessageChannel();
    const id = ++this.frames;
    this.push({ type: "frame", frame: id, code: codeOf(source), port: port2 }, [port2]);
    const reward = Running.start(port1, this.startLimit);
    this.running.set(source, { id, reward });
    return reward;
  }

  private end(source: string): void {
    const known = this.running.get(source);
    if (!known) return;
    this.running.delete(source);
    this.push({ type: "unframe", frame: known.id }, []);
    void known.reward.then((reward) => reward instanceof Running && reward.close());
  }
}

/** The next message at one of `ports`, and which; nothing where none came within `limit` milliseconds. */
function heard(
  ports: MessagePort[],
  limit: number,
): Promise<[Record<string, unknown> | undefined, MessagePort | undefined]> {
  return new Promise((resolve) => {
    const over = (data?: Record<string, unknown>, port?: MessagePort) => {
      clearTimeout(timer);
      for (const one of ports) one.onmessage = null;
      resolve([data, port]);
    };
    const timer = setTimeout(over, limit);
    for (const port of ports) port.onmessage = ({ data }) => over(data, port);
  });
}

const late = (limit: number) => `gave no score in ${limit / 1000} s`;

/** An error that the reward's worker threw by itself: when its code was read, most likely. */
function wrong({ error, line }: Record<string, unknown>): string {
  const own = typeof line === "number" && line > LINES_BEFORE ? ` (line ${line - LINES_BEFORE})` : "";
  return `failed: ${error}${own}`;
}
