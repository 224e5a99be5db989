// Chromium by its DevTools protocol alone. Playwright keeps every tab visible and focused, and a story of a hidden one needs
// a browser that is left as it is.

import { spawn } from "node:child_process";
import { mkdtempSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import type { Readable, Writable } from "node:stream";

interface Answer {
  id?: number;
  result?: Record<string, unknown>;
  error?: { message: string };
}

export class DevTools {
  private readonly waiting = new Map<number, (answer: Answer) => void>();
  private asked = 0;

  private constructor(
    private readonly out: Writable,
    readonly close: () => Promise<void>,
  ) {}

  static async open(flags: string[]): Promise<DevTools> {
    const folder = mkdtempSync(join(tmpdir(), "tbrm-story-"));
    const always = ["--headless=new", "--no-sandbox", "--no-first-run", "--enable-unsafe-webgpu"];
    const browser = spawn(
      process.env.CHROMIUM ?? "/usr/bin/chromium",
      [...always, "--remote-debugging-pipe", `--user-data-dir=${folder}`, ...flags],
      { stdio: ["ignore", "ignore", "ignore", "pipe", "pipe"] },
    );
    const gone = new Promise<void>((gone) => browser.once("exit", () => gone()));
    const devtools = new DevTools(browser.stdio[3] as Writable, async () => {
      await devtools.ask("Browser.close");
      await gone;
      rmSync(folder, { recursive: true, force: true, maxRetries: 5 });
    });
    devtools.hear(browser.stdio[4] as Readable);
    return devtools;
  }

  /** Messages end with a zero. */
  private hear(from: Readable): void {
    let text = "";
    from.setEncoding("utf8").on("data", (piece: string) => {
      const messages = (text + piece).split("\0");
      text = messages.pop() ?? "";
      for (const message of messages) {
        const answer: Answer = JSON.parse(message);
        if (answer.id !== undefined) this.waiting.get(answer.id)?.(answer);
      }
    });
  }

  async ask(method: string, params: object = {}, sessionId?: string): Promise<Record<string, unknown>> {
    const id = ++this.asked;
    const answer = await new Promise<Answer>((answered) => {
      this.waiting.set(id, answered);
      this.out.write(`${JSON.stringify({ id, method, params, sessionId })}\0`);
    });
    this.waiting.delete(id);
    if (answer.error) throw new Error(`${method}: ${answer.error.message}`);
    return answer.result ?? {};
  }

  /** Opens `url` in a new tab, before the others. */
  async tab(url: string): Promise<RawTab> {
    const { targetId } = await this.ask("Target.createTarget", { url });
    const { sessionId } = await this.ask("Target.attachToTarget", { targetId, flatten: true });
    return new RawTab(this, String(targetId), String(sessionId));
  }
}

export class RawTab {
  constructor(
    private readonly devtools: DevTools,
    private readonly target: string,
    private readonly session: string,
  ) {}

  /** Puts it before the others, which are hidden then. */
  async show(): Promise<void> {
    await this.devtools.ask("Target.activateTarget", { targetId: this.target });
  }

  /** What `expression` comes to in the page, as JSON would have it. */
  async evaluate<T>(expression: string): Promise<T> {
    const asked = { expression, awaitPromise: true, returnByValue: true };
    const answer = await this.devtools.ask("Runtime.evaluate", asked, this.session);
    const { result, exceptionDetails } = answer as { result: { value: T }; exceptionDetails?: unknown };
    if (exceptionDetails) throw new Error(`${expression}: ${JSON.stringify(exceptionDetails)}`);
    return result.value;
  }

  /** Waits until `expression`, or what it promises, is true in the page. Asked from outside: a hidden page's own timers hardly run. */
  async until(expression: string): Promise<void> {
    while (!(await this.evaluate<boolean>(`Promise.resolve(${expression}).then(Boolean)`))) {
      await new Promise((later) => setTimeout(later, 200));
    }
  }
}
