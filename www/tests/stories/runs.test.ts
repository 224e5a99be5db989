import { readFileSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { strFromU8, unzipSync } from "fflate";
import { expect } from "vitest";
import { begin, numbers, pauseAt, SETTINGS, sums, undisturbed } from "./small";
import { story } from "./story";

story("logs of one's own are chosen, checked, trained on, kept and downloaded", async ({ site, open }) => {
  const file = join(tmpdir(), `sums-${process.pid}.jsonl`);
  writeFileSync(file, sums());
  const browser = await open();
  const tab = await browser.tab(site.url);
  await tab.state("ready");
  await tab.page.click("text=Train your own");
  const chooser = tab.page.waitForEvent("filechooser");
  await tab.page.locator(".drop", { hasText: "Drop logs" }).getByText("Choose files").click();
  await (await chooser).setFiles(file);
  await tab.page.locator(".setup", { hasText: "24 records, rewards from 0 to 1" }).waitFor();
  await tab.page.fill("input[name=steps]", "6");
  await tab.page.press("input[name=steps]", "Tab");
  // Once the speed is measured, too: a picture would wait for the same processor.
  await tab.page.locator(".estimate", { hasText: /GPU memory, 6 steps .* roughly/ }).waitFor();
  await tab.picture("setup");
  await tab.page.click("text=Start training");
  await tab.state("done");
  expect((await numbers(tab)).step).toEqual([1, 2, 3, 4, 5, 6]);

  await tab.page.click('nav a[href="#runs"]');
  const run = tab.page.locator("li[data-run]");
  await expect.poll(() => run.locator(".badge").textContent()).toBe("finished");
  expect(await run.locator(".facts").textContent()).toContain("step 6 of 6");
  await run
    .locator("details", { hasText: "The whole run" })
    .or(run.locator("details").last())
    .locator("summary")
    .click();
  const downloading = tab.page.waitForEvent("download");
  await run.getByText("The whole run (.zip)").click();
  const files = unzipSync(readFileSync(await (await downloading).path()));
  const metrics = strFromU8(files["metrics.jsonl"] ?? new Uint8Array())
    .trim()
    .split("\n");
  expect(metrics.map((line) => JSON.parse(line).step)).toEqual([1, 2, 3, 4, 5, 6]);
  expect(Object.keys(files)).toEqual(
    expect.arrayContaining([
      "config.json",
      "model/config.json",
      "model/model.safetensors",
      "model/tokenizer.json",
    ]),
  );
});

story("a run that a reload interrupts goes on to the same bits", async ({ site, open }) => {
  const whole = await undisturbed(site.url, open);
  const browser = await open();
  const tab = await browser.tab(site.url);
  await tab.state("ready");
  await begin(tab);
  await pauseAt(tab, 6);
  await tab.page.reload();
  await tab.state("ready");
  await tab.page.locator(".notice", { hasText: "saved after step 4" }).getByText("Resume").click();
  await tab.state("done");
  expect(await numbers(tab)).toEqual(whole);
});

story("of two tabs on one run, one trains and the other only looks", async ({ site, open }) => {
  const whole = await undisturbed(site.url, open);
  const browser = await open();
  const first = await browser.tab(site.url);
  await first.state("ready");
  await begin(first);
  await pauseAt(first, 6);

  const second = await browser.tab(`${site.url}#runs`);
  await second.state("ready");
  const run = second.page.locator("li[data-run]");
  await expect.poll(() => run.locator(".badge").textContent(), { timeout: 60_000 }).toBe("read-only");
  expect(await run.getByText("Resume").count()).toBe(0);
  expect(await run.getByText("Delete").isDisabled()).toBe(true);
  await second.picture("two-tabs");
  // Also one who asks for it by a script, or whose page is older than the lock.
  const refused = await second.page.evaluate(async () => {
    const run = window.tbrm?.app.runs[0];
    return run && window.tbrm?.request("resume", { run: run.id }).then(String, (fault) => fault.kind);
  });
  expect(refused).toBe("busy");

  await first.page.close();
  await expect.poll(() => run.locator(".badge").textContent(), { timeout: 60_000 }).toBe("unfinished");
  await run.getByText("Resume").click();
  await second.state("done");
  expect(await numbers(second)).toEqual(whole);
});

/** In a worker: `alive` has the buffers that were made and not destroyed. Nobody waits for a garbage collector. */
const COUNT_BUFFERS = `
  self.alive = new Set();
  const { createBuffer } = GPUDevice.prototype;
  GPUDevice.prototype.createBuffer = function (...args) {
    const buffer = createBuffer.apply(this, args);
    alive.add(buffer);
    return buffer;
  };
  const { destroy } = GPUBuffer.prototype;
  GPUBuffer.prototype.destroy = function () {
    alive.delete(this);
    return destroy.apply(this);
  };
`;

story("a run gives its GPU memory back when it is stopped, and when it is over", async ({ site, open }) => {
  const tab = await (await open()).tab(site.url);
  await tab.state("ready");
  const [worker] = tab.page.workers();
  await worker?.evaluate(COUNT_BUFFERS);
  const alive = () => worker?.evaluate("alive.size");
  await begin(tab);
  await pauseAt(tab, 1);
  expect(await alive()).toBeGreaterThan(10);
  await tab.page.click("#stop");
  await tab.state("ready");
  expect(await alive()).toBe(0);

  await begin(tab, { settings: { ...SETTINGS, steps: 2 } });
  await tab.state("done");
  expect(await alive()).toBe(0);
});
