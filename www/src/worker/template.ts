// Chat templates: the engine's wasm calls this by its name when a model brings one. They are a module of their own, so that
// nobody else waits for it.

/** What wasm-bindgen makes of web/template. */
interface Module {
  initSync(input: { module: WebAssembly.Module }): unknown;
  chat_template(template: string, values?: string): string;
}

const built = import.meta.glob<Module>("../wasm/template.js", { eager: true });
const wasm = import.meta.glob<string>("../wasm/template_bg.wasm", {
  eager: true,
  query: "?url",
  import: "default",
});

let loaded: Module["chat_template"] | undefined;

/** Compiles `template` and, given `values` (an object as JSON), renders it; throws what is wrong with either. */
function chatTemplate(template: string, values?: string): string {
  loaded ??= load();
  return loaded(template, values);
}

// The caller is in the middle of reading a file and cannot wait for a promise; a worker may wait for bytes.
function load(): Module["chat_template"] {
  const [module, url] = [built["../wasm/template.js"], wasm["../wasm/template_bg.wasm"]];
  if (!module || !url) throw new Error(": this page was built without its engine");
  const request = new XMLHttpRequest();
  request.open("GET", new URL(url, import.meta.url), false);
  request.responseType = "arraybuffer";
  try {
    request.send();
  } catch {
    throw new Error(": its engine could not be loaded: check the connection");
  }
  if (request.status !== 200) throw new Error(`: its engine could not be loaded (${request.status})`);
  module.initSync({ module: new WebAssembly.Module(request.response) });
  return module.chat_template;
}

/** Puts it where the wasm looks. */
export function installTemplates(): void {
  Object.assign(globalThis, { tbrm_chat_template: chatTemplate });
}
