import { expect } from "vitest";
import { begin, sums } from "./small";
import { story } from "./story";
import { told } from "./told";

story("a browser without WebGPU is told what is missing and where it works", async ({ site, open }) => {
  const browser = await open({ webgpu: false });
  const tab = await browser.tab(site.url);
  await tab.state("error");
  const text = await tab.page.locator(".unsupported").textContent();
  expect(text).toContain("This browser cannot train yet");
  expect(text).toMatch(/WebGPU|no GPU adapter/);
  expect(text).toContain("Chrome or Edge 113 or newer");
  await tab.picture("no-webgpu");
  // What was kept can still be looked at.
  await tab.page.click('nav a[href="#runs"]');
  await tab.page.locator("text=None yet").waitFor();
});

story(
  "files that are damaged, too large or of another kind are told, and nothing is kept of them",
  async ({ site, open }) => {
    const browser = await open();
    const tab = await browser.tab(site.url);
    await tab.state("ready");
    const config = {
      architectures: ["LlamaForCausalLM"],
      model_type: "llama",
      vocab_size: 256,
      hidden_size: 16,
      intermediate_size: 32,
      num_hidden_layers: 1,
      num_attention_heads: 2,
      max_position_embeddings: 32,
      rms_norm_eps: 1e-5,
      eos_token_id: 0,
      tie_word_embeddings: true,
    };
    const gib = 2 ** 30;
    const half = '{"prompt": "1+1=", "completion": "2", "rew';
    const asked = { prompt: [{ role: "user", content: "1+1=" }], completion: "2", reward: 1 };
    const chat = (template: string) => ({
      files: {
        "config.json": JSON.stringify(config),
        "tokenizer.json": TOKENIZER,
        "model.safetensors": 100,
        "chat_template.jinja": template,
      },
      logs: `${JSON.stringify(asked)}\n`,
    });
    const cases: [given: Parameters<typeof begin>[1], kind: string, message: RegExp][] = [
      [{ logs: `${sums()}${half}` }, "data", /Sums\.jsonl:25: field "completion": malformed JSON/],
      [{ logs: "" }, "data", /sums\.jsonl/i],
      [
        { files: { "config.json": "{", "tokenizer.json": "{}", "model.safetensors": 100 } },
        "model",
        /config\.json/,
      ],
      [
        {
          files: {
            "config.json": JSON.stringify(config),
            "tokenizer.json": TOKENIZER,
            "model.safetensors": 3 * 2 ** 20,
          },
        },
        "model",
        /model\.safetensors/,
      ],
      // What a template says, it says in its own words: its engine is a wasm of its own, fetched here.
      [chat("{% for %}"), "tokenizer", /chat template \(line 1\)/],
      [
        chat("{{ raise_exception('I was asked ' ~ messages[0].content.strip('=')) }}"),
        "data",
        /I was asked 1\+1\./,
      ],
      [
        { files: { "config.json": JSON.stringify(config), "model.safetensors": 2 * gib } },
        "too-large",
        /2\.0 GiB, and a browser tab can take 1\.5 GiB/,
      ],
      [{ preset: "small", settings: { micro_batch_tokens: 300_000_000 } }, "too-large", /bytes/],
      [{ settings: { steps: 0 } }, "config", /`steps` is 0/],
      [{ settings: { betta: 1 } }, "config", /`betta` is no setting/],
    ];
    for (const [given, kind, message] of cases) {
      console.log(`it should say ${message}`);
      await begin(tab, given);
      expect(await told(tab, kind)).toMatch(message);
      await tab.page.click("#fault >> text=Close");
      // Not `tab.state`: until the next frame the page is still in the state of the fault.
      await tab.page.waitForFunction(() => document.body.dataset.state === "ready");
    }
    expect(await tab.page.evaluate(() => window.tbrm?.request("runs", {}))).toEqual([]);
  },
);

/** Of the 256 bytes: what a byte tokenizer is at least. */
const TOKENIZER = JSON.stringify({
  version: "1.0",
  model: { type: "BPE", vocab: Object.fromEntries([..."0123456789+="].map((c, i) => [c, i])), merges: [] },
});
