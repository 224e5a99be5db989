import { expect } from "vitest";
import { DevTools } from "./devtools";
import { SETTINGS, sums } from "./small";
import { story } from "./story";

const STEPS = 60;

// What a tab meets after five minutes in the background, and for the rest of the hour: its timers run once a minute.
const AS_AFTER_MINUTES = "--enable-features=IntensiveWakeUpThrottling:grace_period_seconds/1";

story("a tab that is hidden for long trains on, and shows it all when it is back", async ({ site }) => {
  const browser = await DevTools.open([AS_AFTER_MINUTES]);
  try {
    const tab = await browser.tab(site.url);
    await tab.until(`document.body?.dataset.state === "ready"`);
    await browser.tab("about:blank");
    await tab.until("document.hidden");
    // How the browser treats it: these come rarely from here on.
    await tab.evaluate(
      "void (window.ticks = 0, window.ticking = setInterval(() => { window.ticks += 1; }, 50))",
    );
    const spec = JSON.stringify({ settings: { ...SETTINGS, steps: STEPS } });
    await tab.evaluate(`(async () => {
      const { settings } = ${spec};
      const file = new Blob([${JSON.stringify(sums())}]);
      const model = { kind: "preset", preset: "nano" };
      const input = { model, data: [{ path: "sums.jsonl", file }], eval: [], settings };
      await window.tbrm.app.train("Hidden", input);
    })()`);
    await tab.until(`window.tbrm.request("runs", {}).then((runs) => runs.some(({ finished }) => finished))`);
    expect(await tab.evaluate("document.hidden")).toBe(true);
    expect(await tab.evaluate<number>("window.ticks")).toBeLessThan(STEPS);
    await tab.show();
    await tab.until(`document.body.dataset.state === "done"`);
    expect(await tab.evaluate("window.tbrm.app.live.step")).toBe(STEPS);
  } finally {
    await browser.close();
  }
});
