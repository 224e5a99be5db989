// Debian's Chromium with WebGPU on SwiftShader, its processor driver: what a story clicks on, and what went wrong in it.

import { mkdirSync, mkdtempSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { type BrowserContext, chromium, type Page } from "playwright-core";
import type {} from "../../src/hooks";

/** Screenshots go here; continuous integration keeps them. */
const OUTPUT = "test-output";

const FLAGS = [
  "--no-sandbox",
  "--no-first-run",
  "--disable-background-networking",
  "--disable-component-update",
  "--disable-sync",
];

export interface Options {
  /** Whether WebGPU is switched on. */
  webgpu?: boolean;
  viewport?: { width: number; height: number };
  /** A profile to go on with; a new one otherwise, removed at the end. */
  profile?: string;
}

/** A browser with one tab, or more. */
export class Browser {
  /** Errors and warnings in the console, exceptions, and breaches of the page's policy: a story fails on any it did not expect. */
  readonly problems: string[] = [];
  private readonly expected: RegExp[] = [];

  private constructor(
    private readonly context: BrowserContext,
    private readonly remove: string | undefined,
  ) {}

  static async open({ webgpu = true, viewport, profile }: Options = {}): Promise<Browser> {
    const folder = profile ?? mkdtempSync(join(tmpdir(), "tbrm-story-"));
    const context = await chromium.launchPersistentContext(folder, {
      executablePath: process.env.CHROMIUM ?? "/usr/bin/chromium",
      args: webgpu ? [...FLAGS, "--enable-unsafe-webgpu"] : FLAGS,
      viewport: viewport ?? { width: 1280, height: 900 },
      acceptDownloads: true,
    });
    const browser = new Browser(context, profile ? undefined : folder);
    await context.addInitScript(() => {
      addEventListener("securitypolicyviolation", (event) => {
        console.error(`policy: ${event.violatedDirective} forbids ${event.blockedURI || event.sample}`);
      });
    });
    context.on("console", (message) => {
      // Warnings too: what is wrong with a use of WebGPU is told by nothing else.
      if (["error", "warning"].includes(message.type())) {
        browser.note(`console: ${message.text()} (${message.location().url})`);
      }
    });
    context.on("weberror", (error) => browser.note(`exception: ${error.error().stack ?? error.error()}`));
    context.on("page", (page) => page.on("crash", () => browser.note("the tab crashed")));
    // A busy machine may take its time.
    context.setDefaultTimeout(300_000);
    return browser;
  }

  /** Opens `url` in a new tab. */
  async tab(url: string): Promise<Tab> {
    const tab = new Tab(await this.context.newPage());
    await tab.page.goto(url);
    return tab;
  }

  /** Problems like this are part of the story. */
  expect(problem: RegExp): void {
    this.expected.push(problem);
  }

  private note(problem: string): void {
    if (!this.expected.some((expected) => expected.test(problem))) this.problems.push(problem);
  }

  async close(): Promise<void> {
    await this.context.close();
    if (this.remove) rmSync(this.remove, { recursive: true, force: true, maxRetries: 5 });
  }
}

type State = "loading" | "ready" | "training" | "paused" | "done" | "error";

export class Tab {
  constructor(readonly page: Page) {}

  /** Waits until the page is in one of the states; fails at once where it is in `error` and that is none of them. */
  async state(wanted: State | State[], seconds = 1500): Promise<void> {
    const states = [wanted].flat();
    const found = await this.page.waitForFunction(
      (states) => {
        const state = document.body.dataset.state ?? "";
        return states.includes(state) || state === "error" ? state : false;
      },
      states as string[],
      { timeout: seconds * 1000, polling: 100 },
    );
    const state = (await found.jsonValue()) as State;
    if (!states.includes(state)) {
      throw new Error(`the page is in state "${state}": ${await this.page.locator("body").textContent()}`);
    }
  }

  /** Waits until the page has drawn what it was told: frames come late where the processors draw and compute. */
  async drawn(): Promise<void> {
    const frames = () =>
      new Promise((later) => requestAnimationFrame(() => requestAnimationFrame(() => later(undefined))));
    await this.page.evaluate(frames);
    await this.page.waitForFunction(() => window.tbrm?.drawing() === false);
  }

  /** What the page's worker has fetched. */
  async fetched(): Promise<string[]> {
    const [worker] = this.page.workers();
    if (!worker) throw new Error("the page has no worker");
    return worker.evaluate(() => performance.getEntriesByType("resource").map(({ name }) => name));
  }

  /** Keeps a picture of the whole page in light and in dark. */
  async picture(name: string): Promise<void> {
    mkdirSync(OUTPUT, { recursive: true });
    for (const colorScheme of ["light", "dark"] as const) {
      await this.page.emulateMedia({ colorScheme });
      await this.page.screenshot({ path: join(OUTPUT, `${name}-${colorScheme}.png`), fullPage: true });
    }
    await this.page.emulateMedia({ colorScheme: "light" });
  }
}
