// A run that takes seconds, and what it should come to: the same bits, whatever happens to it on its way.

import type {} from "../../src/hooks";
import type { Browser, Tab } from "./chromium";

export const SETTINGS = { steps: 12, batch: 8, checkpoint_every: 4, learning_rate: 0.003 };

/** Logged sums, two for each problem, one of them wrong. */
export function sums(problems = 12): string {
  const lines = Array.from({ length: problems }, (_, i) => [i % 4, (i * 7) % 5]).flatMap(([a = 0, b = 0]) =>
    [0, 1].map((off) => {
      const record = { prompt: `${a}+${b}=`, completion: `${a + b + off}`, reward: 1 - off };
      return `${JSON.stringify(record)}\n`;
    }),
  );
  return lines.join("");
}

export interface Given {
  preset?: string;
  /** A model folder, instead of the preset: text, or how many bytes of nothing. */
  files?: Record<string, string | number>;
  logs?: string;
  settings?: Record<string, unknown>;
}

/** Begins a run as the form would; ends when it has begun, or could not. */
export async function begin(tab: Tab, given: Given = {}): Promise<void> {
  const { preset = "nano", files, logs = sums(), settings = SETTINGS } = given;
  await tab.page.evaluate(
    async ({ preset, files, logs, settings }) => {
      const megabyte = new Blob([new Uint8Array(2 ** 20)]);
      const blob = (content: string | number) =>
        typeof content === "string"
          ? new Blob([content])
          : new Blob(Array<Blob>(Math.ceil(content / 2 ** 20)).fill(megabyte));
      const model = files
        ? {
            kind: "files" as const,
            files: Object.entries(files).map(([path, content]) => ({ path, file: blob(content) })),
          }
        : { kind: "preset" as const, preset };
      const data = [{ path: "sums.jsonl", file: new Blob([logs]) }];
      await window.tbrm?.app.train("Sums", { model, data, eval: [], settings });
    },
    { preset, files, logs, settings },
  );
}

/** The numbers of the run that the tab trained last, but for the times. */
export async function numbers(tab: Tab): Promise<Record<string, number[]>> {
  return tab.page.evaluate(async () => {
    const run = window.tbrm?.app.live?.run ?? "";
    const columns = (await window.tbrm?.request("history", { run }))?.columns ?? {};
    const timed = ["step_time", "tokens_per_s"];
    const names = Object.keys(columns).filter((name) => !timed.includes(name));
    return Object.fromEntries(names.map((name) => [name, [...(columns[name] ?? [])]]));
  });
}

/** Steps of the run that the tab trains. */
export function stepOf(tab: Tab): Promise<number> {
  return tab.page.evaluate(() => window.tbrm?.app.live?.step ?? 0);
}

/** Presses pause, then steps on until the run stands at `step`. */
export async function pauseAt(tab: Tab, step: number): Promise<void> {
  await tab.page.click("#pause");
  await tab.state("paused");
  for (let at = await stepOf(tab); at < step; at = await stepOf(tab)) {
    await tab.page.click("#step");
    await tab.page.waitForFunction((at) => (window.tbrm?.app.live?.step ?? 0) > at, at);
    await tab.state("paused");
  }
}

let whole: Promise<Record<string, number[]>> | undefined;

/** The numbers of the run that nothing happens to. */
export function undisturbed(url: string, open: () => Promise<Browser>): Promise<Record<string, number[]>> {
  whole ??= (async () => {
    const tab = await (await open()).tab(url);
    await tab.state("ready");
    await begin(tab);
    await tab.state("done");
    return numbers(tab);
  })();
  return whole;
}
