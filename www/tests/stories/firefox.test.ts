// Short trainings in Firefox, in the page as it is built: from logs, from the model's own answers, and in the lab.

import { readdirSync, readFileSync } from "node:fs";
import { join } from "node:path";
import { expect, test } from "vitest";
import type { Standing } from "../../src/lab-protocol";
import { openFirefox } from "./firefox";
import { openSite } from "./site";
import { sums } from "./small";

/**
 * Before the page's own scripts: tells of every readback, and when it ended, in seconds. A worker that is made of several
 * scripts has it several times, and must not count each readback as often.
 */
const COUNT = `
if (typeof GPUBuffer !== "undefined" && typeof WorkerGlobalScope !== "undefined" && !globalThis.counted) {
  globalThis.counted = true;
  const told = new BroadcastChannel("readbacks");
  const mapAsync = GPUBuffer.prototype.mapAsync;
  GPUBuffer.prototype.mapAsync = function (...args) {
    return mapAsync.apply(this, args).finally(() => told.postMessage(performance.now() / 1000));
  };
}
`;

/** Opens the page in a frame, does ACT there once it is ready, and reports what came of it until it is over. */
const FRAME = `
const readbacks = [];
new BroadcastChannel("readbacks").onmessage = ({ data }) => readbacks.push(data);
const frame = document.createElement("iframe");
frame.src = "./" + location.search;
frame.style = "width: 1200px; height: 900px";
document.body.append(frame);
let [told, over, acted, result, failed] = ["", false, undefined, undefined, undefined];
setInterval(() => {
  const body = frame.contentDocument?.body;
  let state = body?.dataset.state;
  if (act && state === "ready") {
    acted ??= act(frame.contentWindow).then(
      (found) => {
        result = found;
      },
      (error) => {
        failed = String(error);
      },
    );
    if (result !== undefined) state = "done";
  }
  const metrics = body?.querySelector("#metrics")?.textContent;
  const fault = failed ?? body?.querySelector("#fault[open]")?.textContent;
  const now = [state, metrics, fault].join();
  if (over || now === told) return;
  told = now;
  over = state === "done" || state === "error";
  fetch("report", { method: "POST", body: JSON.stringify({ state, metrics, fault, readbacks, result }) });
}, 100);
`;

interface Report {
  state: string;
  metrics?: string;
  fault?: string;
  readbacks: number[];
  result?: unknown;
}

/** What comes of the page at `query`, when it is done or could not be; `act` is JavaScript, a function of its window. */
async function outcome(query: string, signal: AbortSignal, act = "undefined"): Promise<Report> {
  const site = await openSite();
  for (const name of readdirSync("dist/assets").filter((name) => name.endsWith(".js"))) {
    site.extra.set(`assets/${name}`, COUNT + readFileSync(join("dist/assets", name), "utf8"));
  }
  site.extra.set("frame.html", `<!doctype html><body><script type="module" src="frame.js"></script>`);
  site.extra.set("frame.js", `const act = ${act};\n${FRAME}`);
  site.extra.set("sums.jsonl", sums(60));
  const close = openFirefox(`${site.url}frame.html${query}`);
  try {
    const last = () => JSON.parse(site.reports.at(-1) ?? "{}") as Report;
    while (!["done", "error"].includes(last().state) && !last().fault && !signal.aborted) {
      await new Promise((later) => setTimeout(later, 200));
    }
    // What it was doing where it did not end.
    expect(`${last().state} ${last().fault ?? ""}`, last().metrics).toBe("done ");
    return last();
  } finally {
    await close();
    await site.close();
  }
}

/** The address of a run with these settings. */
const ran = (settings: Record<string, unknown>) =>
  `?run=${encodeURIComponent(Buffer.from(JSON.stringify(settings)).toString("base64"))}`;

const stepsOf = ({ metrics = "" }: Report): Record<string, number>[] =>
  metrics
    .trim()
    .split("\n")
    .map((line) => JSON.parse(line));

test("Firefox trains, and reads back no more than once a second", async ({ signal }) => {
  const run = {
    model: "nano",
    data: "sums.jsonl",
    steps: 60,
    batch: 16,
    checkpoint_every: 1000,
    learning_rate: 0.003,
  };
  const report = await outcome(ran(run), signal);
  const steps = stepsOf(report);
  expect(steps.map(({ step }) => step)).toEqual(Array.from({ length: run.steps }, (_, i) => i + 1));
  const mean = (rows: Record<string, number>[]) =>
    rows.reduce((sum, { loss }) => sum + (loss ?? Number.NaN), 0) / rows.length;
  expect(mean(steps.slice(-20))).toBeLessThan(mean(steps.slice(0, 20)));

  // Steps that came back together share their time evenly.
  const together = steps.filter(({ step_time }, i) => step_time !== steps[i - 1]?.step_time).length;
  const seconds = steps.reduce((sum, { step_time }) => sum + (step_time ?? Number.NaN), 0);
  const all = report.readbacks.length;
  const span = (report.readbacks.at(-1) ?? 0) - (report.readbacks[0] ?? 0);
  console.log(
    `${run.steps} steps in ${seconds.toFixed(1)} s and ${together} readbacks; ${all} in ${span.toFixed(1)} s`,
  );
  // The first few find out how many steps a second has.
  expect(together).toBeLessThanOrEqual(3 + seconds);
  // To open the device, to score, and to save what came of it.
  expect(all).toBeLessThanOrEqual(20 + span);
});

test("Firefox trains on the model's own answers, judged by a function of the user's", async ({ signal }) => {
  const run = {
    model: "nano",
    prompts: "sort-1",
    rewards: ["javascript:(record, completion) => completion.length / 8"],
    steps: 4,
    prompts_per_batch: 8,
    max_new_tokens: 4,
    checkpoint_every: 1000,
    learning_rate: 0.003,
  };
  const steps = stepsOf(await outcome(ran(run), signal));
  expect(steps).toHaveLength(run.steps);
  for (const { loss, reward, "rewards/javascript/mean": judged } of steps) {
    expect(loss).toBeGreaterThan(0);
    expect(judged).toBeGreaterThan(0);
    expect(reward).toBe(judged);
  }
});

const RACE = `async (window) => {
  const { document, location } = window;
  const until = async (found) => {
    for (;;) {
      const it = found();
      if (it) return it;
      await new Promise((later) => setTimeout(later, 50));
    }
  };
  location.hash = "#lab/race";
  const race = await until(() => document.querySelector(".lab section.race"));
  race.querySelector('input[name="steps"]').value = "40";
  for (const name of ["grpo", "rloo"]) race.querySelector(\`input[name="\${name}"]\`).checked = false;
  race.querySelector('button[type="submit"]').click();
  const { lab } = window.tbrm.app;
  return await until(() => lab.working === undefined && lab.race.standings.length && lab.race.standings);
}`;

test("Firefox races to the optimum", async ({ signal }) => {
  const { result } = await outcome("", signal, RACE);
  const [tbrm, brm, ...others] = result as Standing[];
  expect(others).toEqual([]);
  expect([tbrm?.objective, brm?.objective]).toEqual(["tbrm", "brm"]);
  expect(tbrm?.last_kl).toBeLessThan(0.8 * (tbrm?.first_kl ?? 0));
});
