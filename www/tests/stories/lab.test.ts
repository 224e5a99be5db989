import { readFileSync } from "node:fs";
import type { Locator } from "playwright-core";
import { expect } from "vitest";
import type {} from "../../src/hooks";
import type { Tab } from "./chromium";
import { story } from "./story";

/** A part of the lab, ready to be used. */
async function lab(tab: Tab, part: "race" | "checks" | "compare"): Promise<Locator> {
  await tab.state("ready");
  await tab.page.click('nav a[href="#lab"]');
  await tab.page.click(`.parts a[href="#lab/${part}"]`);
  const root = tab.page.locator(`.lab section.${part}`);
  await root.waitFor();
  return root;
}

/** Waits until the lab is at rest, and what it said is drawn. */
async function atRest(tab: Tab): Promise<void> {
  await tab.page.waitForFunction(() => window.tbrm?.app.lab.working === undefined, undefined, {
    timeout: 600_000,
  });
  await tab.drawn();
}

async function fill(root: Locator, values: Record<string, number>): Promise<void> {
  for (const [name, value] of Object.entries(values)) {
    await root.locator(`input[name="${name}"]`).fill(String(value));
  }
}

/** What a click has the page download. */
async function downloaded(tab: Tab, button: Locator): Promise<string> {
  const downloading = tab.page.waitForEvent("download");
  await button.click();
  return readFileSync(await (await downloading).path(), "utf8");
}

story("TBRM nears the optimum beside the others, and V1 becomes log Z", async ({ site, open }) => {
  const browser = await open();
  const tab = await browser.tab(site.url);
  const race = await lab(tab, "race");
  await fill(race, { steps: 120 });
  await race.locator('input[name="rloo"]').uncheck();
  await race.getByText("Start the race").click();
  await tab.page.waitForFunction(() => (window.tbrm?.app.lab.race.share ?? 0) > 0.2);
  // The device is the lab's now.
  const refused = await tab.page.evaluate(() =>
    window.tbrm
      ?.request("start", { name: "Run", spec: { model: { kind: "demo" }, data: [], eval: [], settings: {} } })
      .then(String, (fault) => fault.kind),
  );
  expect(refused).toBe("busy");
  await tab.picture("lab-race-running");
  await atRest(tab);
  const [found, logZ] = await tab.page.evaluate(() => {
    const { standings, logZ, looks } = window.tbrm?.app.lab.race ?? {
      standings: [],
      logZ: 0,
      looks: new Map(),
    };
    const counts = [...looks.values()].map((of) => of.length);
    return [{ standings, counts }, logZ] as const;
  });
  const [tbrm, brm, grpo] = found.standings;
  console.log(found.standings);
  expect(found.standings.map(({ objective }) => objective)).toEqual(["tbrm", "brm", "grpo"]);
  expect(found.counts).toEqual([25, 25, 25]);
  // All began alike. From the same logs a residual a token has got less far; grpo, whose optimum is another, goes for more reward.
  expect(new Set(found.standings.map(({ first_kl }) => first_kl)).size).toBe(1);
  expect(tbrm?.last_kl).toBeLessThan(0.5 * (tbrm?.first_kl ?? 0));
  expect(tbrm?.last_kl).toBeLessThan(brm?.last_kl ?? 0);
  expect(grpo?.reward).toBeGreaterThan(tbrm?.reward ?? 1);
  expect(Math.abs((tbrm?.v1 ?? 0) - logZ)).toBeLessThan(0.1);
  const cells = await race
    .locator("tr", { has: tab.page.locator("th", { hasText: /^tbrm$/ }) })
    .allTextContents();
  expect(cells[0]).toMatch(/^tbrmlogs0\.\d+0\.0\d+/);
  expect(await race.locator(".chart:not(.empty)").count()).toBe(3);
  await tab.picture("lab-race");
  await tab.page.setViewportSize({ width: 400, height: 800 });
  await tab.drawn();
  await tab.picture("lab-race-narrow");
});

story("what TBRM promises is checked in the tab, and a check can be stopped", async ({ site, open }) => {
  const browser = await open();
  const tab = await browser.tab(site.url);
  const checks = await lab(tab, "checks");
  const card = (name: string) => checks.locator(`li[data-check="${name}"]`);
  await card("samples").getByRole("button").click();
  await expect
    .poll(() => card("samples").locator(".badge").textContent(), { timeout: 60_000 })
    .toMatch(/^training/);
  await checks.getByRole("button", { name: "Stop" }).click();
  await atRest(tab);
  expect(await card("samples").locator(".badge").textContent()).toBe("not run");
  expect(await checks.getByText("Download the report").isVisible()).toBe(false);

  for (const name of ["bandit", "optimum"]) {
    await card(name).getByRole("button").click();
    await atRest(tab);
    expect(await card(name).locator(".badge").textContent()).toBe("as expected");
  }
  expect(await card("bandit").textContent()).toContain("TBRM 50.0 for (0, 0) and 0.0 for (10, 0)");
  expect(await card("optimum").locator(".chart:not(.empty)").count()).toBe(1);
  await tab.picture("lab-checks");
  const report = await downloaded(tab, checks.getByText("Download the report"));
  expect(report).toContain("1 of 1 as expected");
  expect(report).toContain("<svg");
});

const SMALL = {
  seeds: 1,
  steps: 4,
  batch: 8,
  evaluations: 2,
  samples: 2,
  problems: 200,
  held_out: 16,
  warm_steps: 30,
};

/** What came of the newest comparison, but for the times. */
async function result(tab: Tab) {
  return tab.page.evaluate(async () => {
    const [newest] = (await window.tbrm?.request("labs", {})) ?? [];
    const found = newest && (await window.tbrm?.request("lab_look", { lab: newest.id }));
    return {
      finished: newest?.finished,
      done: found?.done,
      arms: found?.comparison?.arms.map(({ arm, accuracy, at_common_tokens, difference, curve }) => ({
        ...{ name: arm.name, accuracy, at_common_tokens, difference, curve },
      })),
    };
  });
}

story("a comparison that a reload interrupts goes on to the same table", async ({ site, open }) => {
  const browser = await open();
  const tab = await browser.tab(site.url);
  let compare = await lab(tab, "compare");
  await compare.getByText("All settings").click();
  await fill(compare, SMALL);
  await compare.locator('input[name="warm_steps"]').press("Tab");
  await compare
    .locator(".estimate", { hasText: /^2 runs, 38 steps in all.* of GPU memory, roughly/ })
    .waitFor();
  await tab.picture("lab-compare-form");
  const start = compare.getByRole("button", { name: "Compare", exact: true });
  await start.click();
  await atRest(tab);
  const whole = await result(tab);
  expect([whole.finished, whole.done]).toEqual([true, 2]);
  expect(whole.arms?.map(({ name, curve }) => [name, curve.length])).toEqual([
    ["tbrm", 3],
    ["grpo", 3],
  ]);
  expect(await compare.locator("tbody tr").count()).toBe(2);

  await start.click();
  await tab.page.waitForFunction(() => {
    const { done, unfinished } = window.tbrm?.app.lab.compare ?? {};
    return done === 1 && unfinished !== undefined;
  });
  await compare.getByRole("button", { name: "Stop" }).click();
  await atRest(tab);
  const stopped = await result(tab);
  expect([stopped.finished, stopped.done]).toEqual([false, 1]);
  await tab.page.reload();
  compare = await lab(tab, "compare");
  await compare.getByRole("button", { name: "Go on" }).click();
  await atRest(tab);
  expect(await result(tab)).toEqual(whole);
  await tab.picture("lab-compare");
  const kept = compare.locator("li[data-lab]").first();
  const report = await downloaded(tab, kept.getByText("Download the report"));
  expect(report).toContain("Objectives compared on sort-1");
  expect(report).toContain("grpo");
  await tab.page.setViewportSize({ width: 400, height: 800 });
  await tab.drawn();
  await tab.picture("lab-compare-narrow");
  await kept.getByRole("button", { name: /Delete/ }).click();
  await tab.page.locator("dialog[open]").getByRole("button", { name: "Delete" }).click();
  await expect.poll(() => compare.locator("li[data-lab]").count()).toBe(1);
});
