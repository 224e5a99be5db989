// An engine that only pretends: no wasm, no GPU. For the page's own tests, and for looking at the page (`--mode fake`).

import type {
  Continued,
  DeviceInfo,
  Drawing,
  Fault,
  Metrics,
  PresetInfo,
  Prompt,
  RunEvent,
  Sample,
  Setting,
} from "../../../src/protocol";
import type { Chat, Engine, Gpu, RunSpec, Session, Store } from "../../../src/worker/engine";
import { fakeLab } from "./fake-lab";

export interface FakeOptions {
  /** Milliseconds that a step takes. */
  pace: number;
  /** Throws where it returns a fault. */
  fail?: (step: number) => Fault | undefined;
}

const SETTINGS: Setting[] = [
  setting("objective", "tbrm", "choice", "What is minimised.", ["tbrm", "brm", "sft"]),
  setting(
    "beta",
    0.05,
    "number",
    "How strongly the reward pulls away from the reference: smaller is stronger.",
  ),
  setting("learning_rate", null, "number", "The largest learning rate of the schedule."),
  setting("steps", null, "integer", "Optimizer steps; left empty, three passes over the records."),
  setting("batch", 32, "integer", "Completions in one optimizer step."),
  setting(
    "calibrate",
    "none",
    "choice",
    "What is subtracted from V1: nothing, or its value under the reference.",
    ["none", "v-ref"],
  ),
  setting("schedule", "constant", "choice", "How the learning rate changes after the warm-up.", [
    "constant",
    "cosine",
    "linear",
  ]),
  setting("warmup", 0, "integer", "Steps in which the learning rate rises from 0."),
  setting("grad_clip", 1, "number", "The largest global norm of a step's gradient."),
  setting("weight_decay", 0, "number", "Decoupled weight decay, on every parameter."),
  setting(
    "shuffle",
    true,
    "bool",
    "A new order of the records in every epoch; off, they come as in the file.",
  ),
  setting("checkpoint_every", 100, "integer", "Save a checkpoint every so many steps."),
  setting("eval_every", 0, "integer", "Measure on held-out records every so many steps; 0 for never."),
  setting("skip_invalid", false, "bool", "Set bad records aside instead of stopping."),
];

function setting(
  name: string,
  value: unknown,
  kind: Setting["kind"],
  help: string,
  choices?: string[],
): Setting {
  return { name, default: value, kind, help, online: false, ...(choices ? { choices } : {}) };
}

/** A shape that goes down with some noise, the same each time. */
function falling(step: number, from: number, to: number, over: number, noise: number): number {
  const wobble = Math.sin(step * 12.9898) * Math.sin(step * 4.1414);
  return to + (from - to) * Math.exp(-step / over) * (1 + noise * wobble) + noise * 0.1 * Math.abs(wobble);
}

function metricsOf(step: number): Metrics {
  return {
    step,
    epoch: Math.floor(step / 100),
    num_tokens: step * 384,
    loss: falling(step, 30, 0.4, 60, 0.5),
    residual: -falling(step, 5, 0, 60, 0.4),
    residual_rms: falling(step, 5.5, 0.6, 60, 0.3),
    rho: 2 - falling(step, 2, 0, 80, 0.5),
    v1: 4 + falling(step, 0, 1.5, 50, 0.2),
    reward: 0.5 + 0.08 * Math.sin(step * 7.7),
    entropy: falling(step, 1.2, 0.3, 90, 0.2),
    grad_norm: falling(step, 9, 0.8, 40, 0.9),
    learning_rate: 1e-3 * Math.min(1, step / 20),
    step_time: 0.08,
    tokens_per_s: 9000 + 700 * Math.sin(step * 3.3),
  };
}

function samplesAt(step: number, beta: number): Sample[] {
  return Array.from({ length: 16 }, (_, i) => {
    const digits = [...String(10000 + ((i * 7919 + 31415) % 90000))];
    const right = i % 2 === 0;
    const answer = [...digits].sort();
    if (!right) [answer[1], answer[2]] = [answer[2] as string, answer[1] as string];
    const learned = 1 - Math.exp(-step / 80);
    const tokens = [...answer, "<eos>"].map((text, at) => ({
      text,
      advantage:
        learned *
        beta *
        (right ? 1 : -1) *
        (at === 1 || at === 2 ? 2.1 : 0.2) *
        (0.6 + 0.4 * Math.sin(i * at + 1)),
      logp: -0.2 * at,
      ref_logp: -0.4 * at,
    }));
    const reward = right ? 1 : 0;
    const residual = -(reward / beta) * Math.exp(-step / 70) + 0.8 * Math.sin(i * 5.1);
    return {
      step,
      prompt: `${digits.join("")}=`,
      completion: `${answer.join("")}<eos>`,
      reward,
      residual,
      tokens,
    };
  });
}

const encode = (text: string) => new TextEncoder().encode(text);
const name = (step: number) => `step_${String(step).padStart(6, "0")}`;
const wait = (ms: number) => new Promise((resolve) => setTimeout(resolve, ms));

class FakeSession implements Session {
  private readonly events: AsyncGenerator<RunEvent>;
  private stopped = false;

  constructor(
    private readonly store: Store,
    private readonly options: FakeOptions,
    private readonly spec: Pick<RunSpec, "model" | "settings">,
    from: number,
  ) {
    this.events =
      spec.model.kind === "demo"
        ? this.demo(from)
        : this.stage(Number(spec.settings.steps ?? 200), from, true);
  }

  async next(): Promise<RunEvent | undefined> {
    const { value, done } = await this.events.next();
    return done ? undefined : value;
  }

  stop(): void {
    this.stopped = true;
  }

  free(): void {}

  private async *demo(from: number): AsyncGenerator<RunEvent> {
    if (from === 0) {
      yield { type: "stage", stage: "warm-start", description: "imitation", done: 0, steps: 60 };
      for await (const event of this.stage(60, 0, false)) {
        if (event.type === "finished" && this.stopped) return yield event;
        if (event.type !== "finished") yield event;
      }
      await this.store.write("warm-start/model.safetensors", new Uint8Array(500_000));
      yield { type: "accuracy", stage: "warm-start", step: 60, mean: 0.538, stderr: 0.017, seconds: 1 };
    }
    yield { type: "stage", stage: "tbrm", description: "TBRM", done: from, steps: 300 };
    yield* this.stage(300, from, true);
  }

  private async *stage(steps: number, from: number, kept: boolean): AsyncGenerator<RunEvent> {
    const beta = Number(this.spec.settings.beta ?? 0.1);
    if (from === 0) for (let done = 0; done <= 100; done += 25) yield { type: "scoring", done, total: 100 };
    let step = from;
    if (kept && from === 0) yield* this.looked(0, beta);
    while (step < steps && !this.stopped) {
      await wait(this.options.pace);
      step += 1;
      const fault = this.options.fail?.(step);
      if (fault) throw fault;
      const metrics = metricsOf(step);
      if (kept) await this.store.append("metrics.jsonl", encode(`${JSON.stringify(metrics)}\n`));
      yield { type: "step", metrics };
      if (kept && step % 50 === 0) {
        const mean = 0.985 - 0.45 * Math.exp(-step / 60);
        yield { type: "accuracy", stage: "tbrm", step, mean, stderr: 0.01 };
        yield* this.looked(step, beta);
        yield await this.checkpoint(step);
      }
    }
    if (kept) yield await this.checkpoint(step);
    if (kept && step >= steps) {
      await this.store.write("model/config.json", encode("{}"));
      await this.store.write("model/model.safetensors", new Uint8Array(500_000));
    }
    yield { type: "finished", step, complete: step >= steps };
  }

  private async *looked(step: number, beta: number): AsyncGenerator<RunEvent> {
    const samples = samplesAt(step, beta);
    const lines = samples.map((sample) => `${JSON.stringify(sample)}\n`).join("");
    await this.store.write(`completions/${name(step)}.jsonl`, encode(lines));
    yield {
      type: "evaluated",
      step,
      "eval/loss": falling(step, 28, 0.5, 60, 0.2),
      "eval/auc": 0.99 - 0.4 * Math.exp(-step / 50),
      best: true,
    };
    yield { type: "samples", step, samples };
  }

  private async checkpoint(step: number): Promise<RunEvent> {
    await this.store.write(`checkpoints/${name(step)}/model.safetensors`, new Uint8Array(500_000));
    await this.store.write(`checkpoints/${name(step)}/state.json`, encode(JSON.stringify({ step })));
    return { type: "checkpoint", step, path: `checkpoints/${name(step)}` };
  }
}

function continued(digits: string[], change: number, beta: number): Continued {
  const logps = digits.map((_, i) => ({ logp: -0.5, ref_logp: -0.5 - change * (i % 3) }));
  return {
    text: digits.join(""),
    finished: true,
    rho: logps.reduce((sum, { logp, ref_logp }) => sum + logp - ref_logp, 0),
    tokens: logps.map((token, i) => ({
      text: digits[i] as string,
      advantage: beta * (token.logp - token.ref_logp),
      ...token,
    })),
  };
}

class FakeChat implements Chat {
  private stopped = false;

  info() {
    return { conversations: false, positions: 64 };
  }

  async reply(prompt: Prompt, _drawing: Drawing, ontext: (text: string) => void) {
    this.stopped = false;
    const sorted = [...String(prompt).replace(/\D/g, "")].sort();
    let text = "";
    for (const digit of sorted) {
      await wait(20);
      if (this.stopped) break;
      text += digit;
      ontext(text);
    }
    const finished = !this.stopped;
    const record = { prompt, completion: text, ...(finished ? {} : { truncated: true }) };
    return { text, tokens: text.length + Number(finished), finished, record };
  }

  stop(): void {
    this.stopped = true;
  }

  free(): void {}
}

const DEVICE: DeviceInfo = {
  name: "Pretended device",
  software: true,
  subgroups: false,
  subgroup_size: 0,
  f16: false,
  int64: false,
  timestamps: false,
  pipeline_cache: false,
  max_binding: 2 ** 27,
  max_buffer: 2 ** 28,
  max_groups: 65_535,
};

type Shape = [vocabulary: number, layers: number, channels: number, tokens: number, sequences: number];

function preset(
  name: string,
  params: number,
  [vocab_size, layers, hidden_size, tokens, sequences]: Shape,
): PresetInfo {
  return { name, params, vocab_size, num_hidden_layers: layers, hidden_size, tokens, sequences };
}

export function fakeEngine(options: FakeOptions): Engine {
  return {
    async open_gpu(onfault): Promise<Gpu> {
      const lost = {
        kind: "Device",
        what: "the GPU device was lost: destroyed",
        help: "resume the run from its last checkpoint",
      };
      return { info: () => DEVICE, destroy: () => onfault(lost) };
    },
    async bench(_gpu, preset, steps, objective, onstep) {
      for (let done = 1; done <= steps; done++) {
        await wait(options.pace);
        onstep(done, steps);
      }
      const losses = Array.from({ length: steps }, (_, i) => 5 - 0.1 * i);
      return {
        preset,
        device: DEVICE.name,
        driver: `${DEVICE.name}, ${objective}`,
        dtype: "f32",
        tokens_per_s: 9123.4,
        step_ms: 112.2,
        first_step_ms: 250,
        peak_bytes: 25_000_000,
        params: 106_624,
        losses,
      };
    },
    presets: () => [
      preset("nano", 106_624, [128, 2, 64, 64, 16]),
      preset("tiny", 918_144, [512, 4, 128, 128, 8]),
    ],
    settings: () => SETTINGS,
    async estimate(_gpu, spec) {
      const steps = Number(spec.settings.steps ?? 200);
      return {
        params: 106_624,
        weight_bytes: 426_496,
        total_bytes: 25_400_000,
        arena_bytes: 12_000_000,
        live_bytes: 11_000_000,
        steps,
        tokens: steps * 384,
        largest: [384, 192] as [number, number],
      };
    },
    embedded: () => undefined,
    tasks: () => ["sort-1", "sort-3"],
    task: () => ({
      description: "Sort the digits",
      prompts: '{"prompt": "31=", "answer": "13"}\n',
      held_out: '{"prompt": "21=", "answer": "12"}\n',
      demonstrations: '{"prompt": "31=", "completion": "13", "reward": 1}\n',
      max_new_tokens: 4,
    }),
    check_logs(file, bytes) {
      const lines = new TextDecoder()
        .decode(bytes)
        .split("\n")
        .filter((line) => line !== "");
      const bad = lines.flatMap((line, i) => (line.startsWith("{") ? [] : [i + 1]));
      const reasons =
        bad.length > 0 ? [{ field: null, reason: "not a JSON object", count: bad.length, lines: bad }] : [];
      const records = lines.length - bad.length;
      return {
        file,
        records,
        rejected: bad.length,
        reasons,
        prompts: records,
        duplicates: 0,
        contradicting_duplicates: 0,
        empty_completions: 0,
        truncated: 0,
        conversations: 0,
        with_logps: 0,
        reward: { count: records, mean: 0.5, std: 0.5, min: 0, max: 1, histogram: [] },
        prompts_with_contrast: 0,
        prompt_chars: null,
        completion_chars: null,
      };
    },
    Session: {
      async start(_gpu, store, spec) {
        const config =
          spec.model.kind === "demo"
            ? { demo: { tbrm: { steps: 300, beta: 0.1 } } }
            : { beta: 0.05, steps: 200, ...spec.settings };
        await store.write("config.json", encode(JSON.stringify(config)));
        await store.write(
          "inputs/spec.json",
          encode(JSON.stringify({ model: spec.model.kind, settings: spec.settings })),
        );
        return new FakeSession(store, options, spec, 0);
      },
      async resume(_gpu, store) {
        const found = (await store.list("checkpoints")).map((folder) => Number(folder.slice(5)));
        const spec = JSON.parse(new TextDecoder().decode(await store.read("inputs/spec.json")));
        const from = Math.max(0, ...found);
        const text = new TextDecoder().decode(await store.read("metrics.jsonl"));
        const kept = text.split("\n").filter((line) => line !== "" && JSON.parse(line).step <= from);
        await store.write("metrics.jsonl", encode(kept.map((line) => `${line}\n`).join("")));
        return new FakeSession(
          store,
          options,
          { model: { kind: spec.model }, settings: spec.settings } as RunSpec,
          from,
        );
      },
    },
    Chat: { open: async () => new FakeChat() },
    ...fakeLab(options.pace),
    async compare(_gpu, _before, _after, prompts, _drawing, scale, onpart) {
      for (let done = 1; done <= 3; done++) {
        await wait(options.pace);
        onpart(done, 3);
      }
      return prompts.map((prompt) => ({
        prompt,
        before: continued([...prompt.replace(/\D/g, "")], -1, scale.beta),
        after: continued([...prompt.replace(/\D/g, "")].sort(), 1, scale.beta),
      }));
    },
  };
}

export async function loadEngine(): Promise<Engine> {
  return fakeEngine({ pace: 15 });
}
