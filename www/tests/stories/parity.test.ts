// The same run by the command and in the page: the same numbers, and each goes on with what the other saved.

import { execFileSync } from "node:child_process";
import { mkdirSync, mkdtempSync, readdirSync, readFileSync, rmSync, statSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { dirname, join } from "node:path";
import { expect } from "vitest";
import type { Tab } from "./chromium";
import type { Site } from "./site";
import { numbers, sums } from "./small";
import { story } from "./story";

const SETTINGS = { steps: 20, batch: 8, checkpoint_every: 10, learning_rate: 0.003, beta: 0.1 };

/** The command as `make test` builds it, or another one. */
const TBRM = process.env.TBRM ?? "../target/debug/tbrm";

function tbrm(...args: string[]): void {
  execFileSync(TBRM, args, { stdio: "inherit" });
}

/** `tbrm train` on the files of `folder`, into `run`. */
function train(folder: string, run: string, ...more: string[]): number[] {
  const at = (name: string) => join(folder, name);
  const { steps, batch, checkpoint_every, learning_rate, beta } = SETTINGS;
  const settings = ["--steps", steps, "--batch", batch, "--checkpoint-every", checkpoint_every];
  const rates = ["--lr", learning_rate, "--beta", beta].map(String);
  const given = ["--model", at("model"), "--data", at("sums.jsonl"), "--out", at(run)];
  tbrm("train", ...given, ...settings.map(String), ...rates, "--quiet", ...more);
  const lines = readFileSync(at(`${run}/metrics.jsonl`), "utf8")
    .trim()
    .split("\n");
  return lines.map((line) => JSON.parse(line).loss);
}

/** Fails unless every loss is within a thousandth of the other's; NaN is not. */
function close(losses: number[], others: number[]): void {
  expect(losses).toHaveLength(SETTINGS.steps);
  expect(others).toHaveLength(SETTINGS.steps);
  const differences = losses.map((loss, i) => Math.abs(loss - (others[i] ?? Number.NaN)) / Math.abs(loss));
  console.log(`largest relative difference of a loss: ${Math.max(...differences).toExponential(1)}`);
  expect(differences.filter((difference) => !(difference <= 1e-3))).toEqual([]);
}

/** A run as it was after half of its steps: what a kill would have left. */
const isOfTheFirstHalf = (path: string) => !/^(model|checkpoints\/step_000020)\//.test(path);

function filesIn(folder: string): string[] {
  const all = readdirSync(folder, { recursive: true, encoding: "utf8" });
  return all.filter((path) => statSync(join(folder, path)).isFile());
}

function serve(site: Site, folder: string, path: string): void {
  site.extra.set(path, readFileSync(join(folder, path)));
}

/** Writes the files of the run that the tab trained last. */
async function download(tab: Tab, to: string): Promise<void> {
  const run = await tab.page.evaluate(() => window.tbrm?.app.live?.run ?? "");
  const files = await tab.page.evaluate((run) => window.tbrm?.request("files", { run }), run);
  for (const { path } of files ?? []) {
    if (!isOfTheFirstHalf(path) || path.startsWith("inputs/")) continue;
    const bytes = await tab.page.evaluate(
      async ({ run, path }) => {
        const file = await window.tbrm?.request("file", { run, path });
        return file ? [...new Uint8Array(await file.arrayBuffer())] : [];
      },
      { run, path },
    );
    mkdirSync(dirname(join(to, path)), { recursive: true });
    writeFileSync(join(to, path), Uint8Array.from(bytes));
  }
}

story(
  "the command and the page train alike, and each goes on where the other stopped",
  async ({ site, open, onTestFinished }) => {
    const folder = mkdtempSync(join(tmpdir(), "tbrm-parity-"));
    onTestFinished(() => rmSync(folder, { recursive: true, force: true }));
    writeFileSync(join(folder, "sums.jsonl"), sums(40));
    tbrm("init", "--preset", "nano", "--tokenizer", "bytes", "--out", join(folder, "model"));
    const native = train(folder, "native");

    for (const file of filesIn(join(folder, "model"))) serve(site, folder, `model/${file}`);
    serve(site, folder, "sums.jsonl");
    const run = Buffer.from(JSON.stringify({ model: "model", data: "sums.jsonl", ...SETTINGS })).toString(
      "base64",
    );
    const browser = await open();
    // Not every model folder has all the files that one may have.
    browser.expect(/404.*model\//);
    const tab = await browser.tab(`${site.url}?run=${encodeURIComponent(run)}`);
    await tab.state("done");
    const page = (await numbers(tab)).loss ?? [];
    close(native, page);

    await download(tab, join(folder, "page"));
    close(native, train(folder, "page", "--resume"));

    const paths = filesIn(join(folder, "native")).filter(isOfTheFirstHalf);
    for (const path of paths) serve(site, folder, `native/${path}`);
    const other = await browser.tab(site.url);
    await other.state("ready");
    await other.page.evaluate(
      async ({ paths, model }) => {
        const named = async (path: string) => ({ path, file: await (await fetch(path)).blob() });
        const all = (paths: string[]) => Promise.all(paths.map(named));
        const { app, request } = window.tbrm ?? {};
        if (!app || !request) throw Error("the page has no hooks");
        const { run } = await request("load", { name: "native", files: await all(paths) });
        await request("give", {
          run,
          model: await all(model),
          data: [await named("sums.jsonl")],
          eval: [],
          prompts: [],
        });
        await app.loadRuns();
        const kept = app.runs.find(({ id }) => id === run);
        if (!kept?.resumable) throw Error("the run cannot be resumed");
        await app.resume(kept);
      },
      {
        paths: paths.map((path) => `native/${path}`),
        model: filesIn(join(folder, "model")).map((file) => `model/${file}`),
      },
    );
    await other.state("done");
    close(native, (await numbers(other)).loss ?? []);
  },
);
