// Owns the wasm of a test program, as `cargo run -p tbrm-bundle -- tests` made it: every export is a case, which the
// page calls by its name. A case fails by a panic, and by any error of a device that nobody asked for: WebGPU goes on
// after a wrong call, on whatever its memory holds.

const program = new URLSearchParams(location.search).get("program");

const devices = [];
const errors = [];
const requestDevice = GPUAdapter.prototype.requestDevice;
GPUAdapter.prototype.requestDevice = async function (...args) {
  const device = await requestDevice.apply(this, args);
  device.addEventListener("uncapturederror", ({ error }) => {
    errors.push(`${error.constructor.name}: ${error.message}`);
  });
  device.lost.then(({ reason, message }) => {
    if (reason !== "destroyed") errors.push(`the device was lost: ${message}`);
  });
  devices.push(device);
  return device;
};

// Firefox asks its driver for finished work ten times a second, and at every submission: a case that reads back a
// hundred times would wait for ten seconds.
const mapAsync = GPUBuffer.prototype.mapAsync;
GPUBuffer.prototype.mapAsync = async function (...args) {
  const asking = setInterval(() => devices.map((device) => device.queue.submit([])), 2);
  return mapAsync.apply(this, args).finally(() => clearInterval(asking));
};

// What core/testing/src/wasm.rs calls.
let said = [];
let panic;
let expected;
self.said = (text) => said.push(text);
self.panicked = (message) => {
  panic = message;
};
self.panic_expected = (message) => {
  expected = message;
};

/** Until the devices have told what was wrong with all that they were given. */
async function settled() {
  // A device that a case destroyed has nothing more to tell.
  await Promise.all(devices.map((device) => device.queue.onSubmittedWorkDone().catch(() => {})));
  await new Promise((later) => setTimeout(later));
}

function problem(thrown) {
  if (errors.length) return ["the device reported:", ...errors.splice(0)].join("\n");
  if (expected === undefined) return panic ?? (thrown && String(thrown.stack ?? thrown));
  if (panic === undefined) return `it should have panicked with: ${expected}`;
  return panic.includes(expected) ? undefined : `it should have panicked with: ${expected}\nbut: ${panic}`;
}

const { default: init, initSync, ...cases } = await import(`./wasm/${program}/cases.js`);
await init();

self.onmessage = async ({ data: name }) => {
  [said, panic, expected] = [[], undefined, undefined];
  let thrown;
  await cases[name]().catch((error) => {
    thrown = error;
  });
  await settled();
  postMessage({ problem: problem(thrown), said, spent: thrown !== undefined });
};
postMessage({ cases: Object.keys(cases) });
