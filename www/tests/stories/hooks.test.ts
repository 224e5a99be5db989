import { expect } from "vitest";
import { sums } from "./small";
import { story } from "./story";

const base64 = (value: unknown) => Buffer.from(JSON.stringify(value)).toString("base64");

story("an address asks for a benchmark, and gets a line of JSON", async ({ site, open }) => {
  const tab = await (await open()).tab(`${site.url}?bench=nano&steps=3`);
  await tab.state("done");
  const report = JSON.parse((await tab.page.textContent("#result")) ?? "");
  expect(report).toMatchObject({ preset: "nano", dtype: "f32" });
  expect(report.tokens_per_s).toBeGreaterThan(0);
  expect(report.losses).toHaveLength(7);
  console.log(JSON.stringify(report));
  expect(await tab.fetched()).not.toContainEqual(expect.stringContaining("second"));
});

story(
  "an address asks for a run on files beside the page, and gets a line a step",
  async ({ site, open }) => {
    site.extra.set("data/sums.jsonl", sums());
    const run = { model: "nano", data: "data/sums.jsonl", steps: 4, batch: 8, beta: 0.1 };
    const tab = await (await open()).tab(`${site.url}?run=${encodeURIComponent(base64(run))}`);
    await tab.state("done");
    const lines = ((await tab.page.textContent("#metrics")) ?? "").trim().split("\n");
    const steps = lines.map((line) => JSON.parse(line));
    expect(steps.map(({ step }) => step)).toEqual([1, 2, 3, 4]);
    for (const { loss, grad_norm } of steps) expect(loss * grad_norm).toBeGreaterThan(0);
    // Training from logs needs the first half of the wasm alone: else everybody would wait for both.
    expect(await tab.fetched()).not.toContainEqual(expect.stringContaining("second"));
  },
);

story("an address asks for a run on embedded data", async ({ site, open }) => {
  const run = { model: "nano", data: "sort-held-out", eval_data: "sort-held-out", steps: 2, batch: 32 };
  const tab = await (await open()).tab(`${site.url}?run=${encodeURIComponent(base64(run))}`);
  await tab.state("done");
  const lines = ((await tab.page.textContent("#metrics")) ?? "").trim().split("\n");
  expect(lines).toHaveLength(2);
});

story("an address that asks for what is not there is told so", async ({ site, open }) => {
  const browser = await open();
  browser.expect(/404/);
  const tab = await browser.tab(`${site.url}?run=${base64({ model: "nano", data: "nothing.jsonl" })}`);
  await tab.state("error");
  expect(await tab.page.textContent("#fault")).toContain("Nothing.jsonl could not be fetched");
});

story("after one full load the page trains without a network", async ({ site, open }) => {
  const browser = await open();
  const tab = await browser.tab(site.url);
  await tab.state("ready");
  await tab.page.evaluate(() => navigator.serviceWorker.ready);
  await site.close();
  browser.expect(/ERR_CONNECTION_REFUSED|ERR_FAILED/);
  const run = { model: "demo", short: true };
  const offline = await browser.tab(`${site.url}?run=${base64(run)}`);
  await offline.state("done");
});
