// The second half of the wasm: what only some visitors use. The first half calls this by its name when it gets to a function
// that lies there (web/bundle/src/split.rs), so nothing breaks where nobody fetched it before.

import type { Fault } from "../protocol";

/** What the first half exports: memory, tables, globals and functions that the second works with. */
export type Exports = WebAssembly.ModuleImports;

const wasm = import.meta.glob<string>("../wasm/tbrm_second.wasm", {
  eager: true,
  query: "?url",
  import: "default",
});

let bytes: ArrayBuffer | undefined;
let installed = false;

/** Fetches it ahead of its use, without keeping the worker waiting; throws where it cannot be had. */
export async function fetchSecond(): Promise<void> {
  bytes ??= await (await answer(fetch(url()))).arrayBuffer();
}

/** Tells the first half how to get it. */
export function installSecond(exports: Exports): void {
  const install = () => {
    if (installed) return;
    bytes ??= fetchNow();
    new WebAssembly.Instance(new WebAssembly.Module(bytes), { f: exports });
    installed = true;
  };
  Object.assign(globalThis, { tbrm_fetch_second: install });
}

// The caller is amid its work and cannot wait for a promise; a worker may wait for bytes.
function fetchNow(): ArrayBuffer {
  const request = new XMLHttpRequest();
  request.open("GET", url(), false);
  request.responseType = "arraybuffer";
  try {
    request.send();
  } catch {
    throw unreachable("no connection");
  }
  if (request.status !== 200) throw unreachable(`${request.status}`);
  return request.response;
}

async function answer(request: Promise<Response>): Promise<Response> {
  const response = await request.catch(() => {
    throw unreachable("no connection");
  });
  if (!response.ok) throw unreachable(`${response.status}`);
  return response;
}

function url(): URL {
  const url = wasm["../wasm/tbrm_second.wasm"];
  if (!url) throw new Error("this page was built without its engine");
  return new URL(url, import.meta.url);
}

function unreachable(why: string): Fault {
  return {
    kind: "load",
    what: `a part of the engine could not be loaded: ${why}`,
    help: "check the connection and try again; after one full load the page works without a network",
  };
}
