// A short training in Firefox, in the page as it is built.

import { readdirSync, readFileSync } from "node:fs";
import { join } from "node:path";
import { expect, test } from "vitest";
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

/** Opens the page in a frame, and reports what came of it. */
const FRAME = `
const readbacks = [];
new BroadcastChannel("readbacks").onmessage = ({ data }) => readbacks.push(data);
const frame = document.createElement("iframe");
frame.src = "./" + location.search;
frame.style = "width: 1200px; height: 900px";
document.body.append(frame);
let [told, over] = ["", false];
setInterval(() => {
  const body = frame.contentDocument?.body;
  const state = body?.dataset.state;
  const metrics = body?.querySelector("#metrics")?.textContent;
  const now = [state, metrics].join();
  if (over || now === told) return;
  told = now;
  over = state === "done" || state === "error";
  const fault = body?.querySelector("#fault[open]")?.textContent;
  fetch("report", { method: "POST", body: JSON.stringify({ state, metrics, fault, readbacks }) });
}, 100);
`;

interface Report {
  state: string;
  metrics?: string;
  fault?: string;
  readbacks: number[];
}

test("Firefox trains, and reads back no more than once a second", async (context) => {
  const site = await openSite();
  for (const name of readdirSync("dist/assets").filter((name) => name.endsWith(".js"))) {
    site.extra.set(`assets/${name}`, COUNT + readFileSync(join("dist/assets", name), "utf8"));
  }
  site.extra.set("frame.html", `<!doctype html><body><script type="module" src="frame.js"></script>`);
  site.extra.set("frame.js", FRAME);
  site.extra.set("sums.jsonl", sums(60));
  const run = {
    model: "nano",
    data: "sums.jsonl",
    steps: 60,
    batch: 16,
    checkpoint_every: 1000,
    learning_rate: 0.003,
  };
  const address = encodeURIComponent(Buffer.from(JSON.stringify(run)).toString("base64"));
  const close = openFirefox(`${site.url}frame.html?run=${address}`);
  try {
    const last = () => JSON.parse(site.reports.at(-1) ?? "{}") as Report;
    const { signal } = context;
    while (!["done", "error"].includes(last().state) && !signal.aborted) {
      await new Promise((later) => setTimeout(later, 200));
    }
    const report = last();
    // What it was doing where it did not end.
    expect(`${report.state} ${report.fault ?? ""}`, report.metrics).toBe("done ");
    const steps = (report.metrics ?? "")
      .trim()
      .split("\n")
      .map((line) => JSON.parse(line));
    expect(steps.map(({ step }) => step)).toEqual(Array.from({ length: run.steps }, (_, i) => i + 1));
    const mean = (rows: { loss: number }[]) => rows.reduce((sum, { loss }) => sum + loss, 0) / rows.length;
    expect(mean(steps.slice(-20))).toBeLessThan(mean(steps.slice(0, 20)));

    // Steps that came back together share their time evenly.
    const together = steps.filter(({ step_time }, i) => step_time !== steps[i - 1]?.step_time).length;
    const seconds = steps.reduce((sum, { step_time }) => sum + step_time, 0);
    const all = report.readbacks.length;
    const span = (report.readbacks.at(-1) ?? 0) - (report.readbacks[0] ?? 0);
    console.log(
      `${run.steps} steps in ${seconds.toFixed(1)} s and ${together} readbacks; ${all} in ${span.toFixed(1)} s`,
    );
    // The first few find out how many steps a second has.
    expect(together).toBeLessThanOrEqual(3 + seconds);
    // To open the device, to score, and to save what came of it.
    expect(all).toBeLessThanOrEqual(20 + span);
  } finally {
    await close();
    await site.close();
  }
});
