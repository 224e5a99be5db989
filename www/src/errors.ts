import type { Fault } from "./protocol";

const isText = (value: unknown): value is string => typeof value === "string" && value !== "";

/** Whether something thrown says itself what to do. */
export function isFault(error: unknown): error is Fault {
  const { kind, what, help } = (error ?? {}) as Partial<Fault>;
  return isText(kind) && isText(what) && isText(help);
}

/** What to tell a person about something that was thrown. */
export function faultOf(error: unknown): Fault {
  if (isFault(error)) return { kind: kindOf(error.kind), what: error.what, help: error.help };
  if (error instanceof DOMException && error.name === "QuotaExceededError") return storageFull();
  const what =
    error instanceof Error || error instanceof DOMException ? error.message || error.name : String(error);
  if (error instanceof WebAssembly.RuntimeError || error instanceof RangeError) {
    return {
      kind: "crash",
      what: `the engine stopped: ${what}`,
      help: "start it again: a run goes on from its last checkpoint. If it happens again, use a smaller model",
    };
  }
  return { kind: "bug", what, help: "try again; if it happens again, reload the page, and report it" };
}

/** The core's kinds, in one spelling: `TooLarge`, `too_large` and `too-large` are one. */
function kindOf(kind: string): string {
  const words = kind.replace(/([a-z])([A-Z])/g, "$1-$2").replaceAll("_", "-");
  return words.toLowerCase();
}

export function storageFull(): Fault {
  return {
    kind: "store",
    what: "this browser's storage is full",
    help: "delete runs under Keep or free disk space, then resume the run: it goes on from its last checkpoint",
  };
}

/** After these the worker cannot go on: it is ended, and a new one begins. */
export function isFatal(fault: Fault): boolean {
  return ["device", "panic", "crash"].includes(fault.kind);
}
