// The wasm in a real browser without the page: the device, a benchmark whose losses are the native ones, messages heard
// between steps, and a lost device. `node tests/wasm/bench.mjs [LOSS...]` prints the report, and fails unless the first
// losses are those given (to four digits, as `tbrm bench --objective sft --weights hash` prints them).
import assert from "node:assert/strict";
import { fileURLToPath } from "node:url";
import { open } from "./chromium.mjs";
import { serve } from "./serve.mjs";

const here = (path) => fileURLToPath(new URL(path, import.meta.url));
const { origin, close: stop } = await serve({ "/": here("page"), "/wasm/": here("../../src/wasm") });
const { page, warned, close } = await open(`${origin}/`);
const run = async (call, ...args) => {
  const { ok, error } = await page.evaluate(([c, a]) => window.run(c, ...a), [call, args]);
  if (error) throw Object.assign(new Error(error.what), error);
  return ok;
};
try {
  console.error(JSON.stringify(await run("info")));
  assert.deepEqual(
    (await run("presets")).map((preset) => preset.name),
    ["nano", "tiny", "small", "gpt2"],
  );
  await assert.rejects(run("bench", { preset: "huge", steps: 1, objective: "sft" }), { kind: "config" });
  const wanted = process.argv.slice(2);
  const preset = process.env.PRESET ?? "nano";
  const steps = Math.max(Number(process.env.STEPS ?? 10), wanted.length);
  const { done, heardAt, ...report } = await run("bench", {
    preset,
    steps,
    objective: "sft",
    weights: "hash",
  });
  console.log(JSON.stringify(report));
  assert.deepEqual(
    done,
    Array.from({ length: steps + 4 }, (_, i) => i + 1),
  );
  assert.deepEqual(
    heardAt,
    Array.from({ length: steps + 4 }, (_, i) => i),
    "messages are heard between the steps",
  );
  assert.deepEqual(
    report.losses.slice(0, wanted.length).map((loss) => loss.toFixed(4)),
    wanted,
  );
  assert.deepEqual(await page.evaluate(() => window.faults), []);
  assert.deepEqual(warned, []);

  await run("destroy");
  await page.waitForFunction(() => window.faults.length > 0);
  const [fault] = await page.evaluate(() => window.faults);
  assert.equal(fault.kind, "device");
  assert.match(fault.what, /lost/);
  await assert.rejects(run("bench", { preset: "nano", steps: 1, objective: "sft" }), { kind: "device" });
} finally {
  await close();
  stop();
}
