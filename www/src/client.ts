// The page's side of the protocol: a promise for every request, a callback for what the worker says by itself.

import type { Call, Calls, Fault, FromWorker, Push } from "./protocol";

interface Waiting {
  resolve(value: unknown): void;
  reject(fault: Fault): void;
}

/** What of a `Worker` is used here: tests have one of their own. */
export type Port = Pick<Worker, "postMessage" | "terminate" | "onmessage" | "onerror" | "onmessageerror">;

export class Client {
  private port: Port;
  private id = 0;
  private readonly waiting = new Map<number, Waiting>();

  constructor(
    private readonly make: () => Port,
    private readonly onpush: (push: Push) => void,
  ) {
    this.port = this.connect();
  }

  request<C extends Call>(type: C, args: Calls[C]["args"]): Promise<Calls[C]["reply"]> {
    const id = ++this.id;
    return new Promise((resolve, reject) => {
      this.waiting.set(id, { resolve: resolve as Waiting["resolve"], reject });
      this.port.postMessage({ id, type, args });
    });
  }

  /** Ends the worker, and with it whatever it held of the GPU; what was asked of it fails. */
  restart(why: Fault): void {
    this.port.terminate();
    const waiting = [...this.waiting.values()];
    this.waiting.clear();
    for (const { reject } of waiting) reject(why);
    this.port = this.connect();
  }

  private connect(): Port {
    const port = this.make();
    port.onmessage = ({ data }: MessageEvent<FromWorker>) => this.hear(data);
    port.onerror = (event) => {
      event.preventDefault();
      this.crashed(event.message || "it could not be started");
    };
    port.onmessageerror = () => this.crashed("a message could not be read");
    return port;
  }

  private crashed(why: string): void {
    const help = "start the engine again: a run goes on from its last checkpoint";
    this.onpush({ type: "fault", fault: { kind: "crash", what: `the engine stopped: ${why}`, help } });
  }

  private hear(message: FromWorker): void {
    if (!("id" in message)) {
      this.onpush(message);
      return;
    }
    const waiting = this.waiting.get(message.id);
    this.waiting.delete(message.id);
    if ("error" in message) waiting?.reject(message.error);
    else waiting?.resolve(message.ok);
  }
}
