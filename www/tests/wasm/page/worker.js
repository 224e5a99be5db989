// Owns the wasm and the GPU, as the real page's worker does, and calls what it is told to.
import init, * as tbrm from "/wasm/tbrm.js";

const onfault = (fault) => postMessage({ fault });
const opened = init().then(() => tbrm.open_gpu(onfault));
let heard = 0;

const calls = {
  info: async (gpu) => gpu.info(),
  presets: async () => tbrm.presets(),
  bench: async (gpu, { preset, steps, objective, weights }) => {
    const [done, before] = [[], heard];
    // A message to oneself after every step: each is heard before the next step only if the wasm lets go in between.
    const heardAt = [];
    const onstep = (step) => {
      done.push(step);
      heardAt.push(heard - before);
      echo.port1.postMessage(null);
    };
    const report = await tbrm.bench(gpu, preset, steps, objective, onstep, weights);
    return { ...report, done, heardAt };
  },
  destroy: async (gpu) => gpu.destroy(),
};

const echo = new MessageChannel();
echo.port2.onmessage = () => heard++;

self.onmessage = async ({ data: { call, args } }) => {
  try {
    postMessage({ ok: (await calls[call](await opened, ...args)) ?? null });
  } catch (error) {
    postMessage({ error: error?.what ? error : { kind: "thrown", what: String(error), help: "" } });
  }
};
