import { expect } from "vitest";
import { story } from "./story";

story("a visitor trains the demo to its end, and accuracy rises", async ({ site, open }) => {
  const browser = await open();
  const tab = await browser.tab(site.url);
  await tab.state("ready");
  await tab.picture("train");
  await tab.page.click("#demo");
  await tab.page.waitForFunction(() => (window.tbrm?.app.live?.step ?? 0) >= 20, undefined, {
    timeout: 120_000,
  });
  await tab.picture("training");
  await tab.state("done");

  const told = await tab.page.locator(".story li b").allTextContents();
  const [before, after] = told.map(Number.parseFloat);
  console.log(`held-out accuracy: ${told.join(", then ")}`);
  expect(before).toBeGreaterThan(25);
  // Imitation cannot do better than its teachers, of whose answers half are wrong.
  expect(before).toBeLessThan(70);
  expect(after).toBeGreaterThan(85);

  await tab.picture("done");
  for (const view of ["inside", "runs", "bench"]) {
    await tab.page.click(`nav a[href="#${view}"]`);
    await tab.drawn();
    await tab.picture(view);
  }
  await tab.page.setViewportSize({ width: 400, height: 800 });
  for (const view of ["train", "inside", "runs", "bench"]) {
    await tab.page.click(`nav a[href="#${view}"]`);
    await tab.drawn();
    await tab.picture(`${view}-narrow`);
  }
});
