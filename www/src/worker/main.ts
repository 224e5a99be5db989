// The worker: it owns the wasm and the GPU, and answers what the page asks.

import { faultOf } from "../errors";
import type { Call, Calls, Fault, FromWorker, Push, Request } from "../protocol";
import { archive, settled } from "./archive";
import { type Chat, type Engine, type Gpu, loadEngine } from "./engine";
import { FeedbackLog } from "./feedback";
import { sourceOf, specOf } from "./input";
import { busy, LabDesk } from "./lab";
import { giveInputs, loadRun } from "./load";
import { Runs } from "./runs";
import { fetchSecond } from "./second";
import { Training, trainingBusy } from "./session";

const say = (message: FromWorker, transfer: Transferable[] = []) => self.postMessage(message, { transfer });
const push = (message: Push, transfer?: Transferable[]) => say(message, transfer);
const onfault = (error: unknown) => push({ type: "fault", fault: faultOf(error) });

/** Makes something once, when it is first wanted; a failure is not kept. */
function once<T>(make: () => Promise<T>): () => Promise<T> {
  let made: Promise<T> | undefined;
  return () => {
    made ??= make().catch((error) => {
      made = undefined;
      throw error;
    });
    return made;
  };
}

const engine: () => Promise<Engine> = once(loadEngine);
const runs: () => Promise<Runs> = once(() => Runs.open(() => push({ type: "runs" })));
const gpu: () => Promise<Gpu> = once(async () => {
  if (!("gpu" in navigator)) {
    throw {
      kind: "adapter",
      what: "this browser gives workers no WebGPU",
      help: "use a browser that does: Chrome or Edge 113, Firefox 141, Safari 26, or newer",
    } satisfies Fault;
  }
  return (await engine()).open_gpu(onfault);
});
const training = once(async () => new Training(await engine(), await gpu(), await runs(), push));
/** The engine with what the lab needs of it, which others need not fetch. */
const labEngine = once(async () => {
  const loaded = await engine();
  await fetchSecond();
  return loaded;
});
let desk: LabDesk | undefined;
const lab = once(async () => {
  const labs = await Runs.open(() => push({ type: "labs" }), "labs");
  desk = new LabDesk(await labEngine(), gpu, labs, push);
  return desk;
});
/** The device is either the lab's or a run's. */
const labAlone = async () => {
  closeChat();
  if ((await training()).busy) throw trainingBusy();
  return lab();
};
const trainingAlone = async () => {
  closeChat();
  if (desk?.busy) throw busy();
  return training();
};
const feedback = once(async () => new FeedbackLog((await runs()).desk()));

let chat: Chat | undefined;

function closeChat(): null {
  if (chat) push({ type: "closed" });
  chat?.free();
  chat = undefined;
  return null;
}

const answers: { [C in Call]: (args: Calls[C]["args"]) => Promise<Calls[C]["reply"]> } = {
  async boot() {
    const [api, device] = [await engine(), await gpu()];
    return { device: device.info(), presets: api.presets(), settings: api.settings(), tasks: api.tasks() };
  },
  async bench({ preset, steps, objective }) {
    if (desk?.busy) throw busy();
    const onstep = (done: number, total: number) => push({ type: "progress", what: "bench", done, total });
    return (await engine()).bench(await gpu(), preset, steps, objective, onstep);
  },
  async destroy() {
    (await gpu()).destroy();
    return null;
  },

  async check({ file }) {
    return (await engine()).check_logs(file.path, new Uint8Array(await file.file.arrayBuffer()));
  },
  async embedded({ name }) {
    const records = (await engine()).embedded(name);
    return records === undefined ? null : new Blob([records]);
  },
  async task({ name }) {
    return (await engine()).task(name);
  },
  async estimate({ spec }) {
    if (spec.prompts) await fetchSecond();
    return (await engine()).estimate(await gpu(), await specOf(spec, await runs()));
  },
  async start({ name, spec }) {
    return { run: await (await trainingAlone()).start(name, spec) };
  },
  async resume({ run }) {
    return { run: await (await trainingAlone()).resume(run) };
  },
  async pause() {
    (await training()).pause();
    return null;
  },
  async proceed() {
    (await training()).proceed();
    return null;
  },
  async step() {
    (await training()).step();
    return null;
  },
  async stop() {
    (await training()).stop();
    return null;
  },

  async chat_open({ model }) {
    closeChat();
    chat = await (await engine()).Chat.open(await gpu(), await sourceOf(model, await runs()));
    return chat.info();
  },
  async chat({ prompt, drawing }) {
    if (!chat) {
      throw {
        kind: "config",
        what: "no model is open to answer",
        help: "choose a model first",
      } satisfies Fault;
    }
    return chat.reply(prompt, drawing, (text) => push({ type: "answer", text }));
  },
  async chat_stop() {
    chat?.stop();
    return null;
  },
  async chat_close() {
    return closeChat();
  },
  async compare({ run, prompts, drawing, scale }) {
    closeChat();
    const kept = await runs();
    const before = await sourceOf({ kind: "run", run, which: "first" }, kept);
    const after = await sourceOf({ kind: "run", run, which: "newest" }, kept);
    const onpart = (done: number, total: number) => push({ type: "progress", what: "compare", done, total });
    return (await engine()).compare(await gpu(), before, after, prompts, drawing, scale, onpart);
  },
  async feedback() {
    return (await feedback()).all();
  },
  async rate(args) {
    await (await feedback()).rate(args.feedback);
    return null;
  },
  async unrate({ id }) {
    await (await feedback()).remove(id);
    return null;
  },

  async runs() {
    return (await runs()).list();
  },
  async history({ run }) {
    return (await runs()).history(run);
  },
  async samples({ run, step }) {
    return (await runs()).samples(run, step);
  },
  async rename({ run, name }) {
    await (await runs()).rename(run, name);
    return null;
  },
  async remove({ run }) {
    await (await runs()).remove(run);
    return null;
  },
  async files({ run }) {
    return (await (await runs()).files(run)).walk();
  },
  async file({ run, path }) {
    const file = await settled(await (await runs()).files(run), path);
    if (file) return file;
    throw {
      kind: "store",
      what: `${path} is no longer there`,
      help: "reload the list of files",
    } satisfies Fault;
  },
  async archive({ run, folder }) {
    return archive(await (await runs()).files(run), folder);
  },
  async load({ name, files }) {
    return { run: await loadRun(await runs(), name, files) };
  },
  async give({ run, ...given }) {
    await giveInputs(await runs(), run, given);
    return null;
  },
  async serve({ url }) {
    (await runs()).serve(url);
    return null;
  },

  async lab_options() {
    return (await labEngine()).lab_options();
  },
  async lab_estimate({ trial }) {
    return (await labEngine()).lab_estimate(await gpu(), trial);
  },
  async lab_race({ config }) {
    return (await labAlone()).race(config);
  },
  async lab_checks({ only, seed }) {
    return (await labAlone()).checks(only, seed);
  },
  async lab_compare(args) {
    return (await labAlone()).compare(args);
  },
  async lab_resume(args) {
    return (await labAlone()).compare(args);
  },
  async lab_stop() {
    desk?.stop();
    return null;
  },
  async labs() {
    return (await lab()).list();
  },
  async lab_look(args) {
    return (await lab()).look(args.lab);
  },
  async lab_report(args) {
    return (await lab()).report(args.lab);
  },
  async lab_remove(args) {
    return (await lab()).remove(args.lab);
  },

  async storage() {
    const { usage = 0, quota = 0 } = await navigator.storage.estimate();
    return { usage, quota };
  },
};

self.onmessage = async ({ data: request }: MessageEvent<Request>) => {
  const { id, type, args } = request;
  try {
    // The table has an answer of each request's own type, which the compiler cannot follow through a union.
    const answer = answers[type] as (args: Request["args"]) => Promise<unknown>;
    say({ id, ok: await answer(args) });
  } catch (error) {
    say({ id, error: faultOf(error) });
  }
};
self.onunhandledrejection = (event: PromiseRejectionEvent) => onfault(event.reason);
