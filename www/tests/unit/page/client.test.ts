import { expect, test } from "vitest";
import { Client, type Port } from "../../../src/client";
import type { Fault, Push } from "../../../src/protocol";

class FakePort implements Port {
  sent: { id: number; type: string }[] = [];
  ended = false;
  onmessage: Port["onmessage"] = null;
  onerror: Port["onerror"] = null;
  onmessageerror: Port["onmessageerror"] = null;

  postMessage(message: unknown): void {
    this.sent.push(message as { id: number; type: string });
  }

  terminate(): void {
    this.ended = true;
  }

  say(data: unknown): void {
    this.onmessage?.call(this as unknown as Worker, { data } as MessageEvent);
  }
}

function connected() {
  const ports: FakePort[] = [];
  const pushes: Push[] = [];
  const make = () => {
    ports.push(new FakePort());
    return ports.at(-1) as FakePort;
  };
  const client = new Client(make, (push) => pushes.push(push));
  return { client, ports, pushes };
}

const fault: Fault = { kind: "crash", what: "gone", help: "again" };

test("answers find their questions, in whatever order they come", async () => {
  const { client, ports } = connected();
  const [runs, storage] = [client.request("runs", {}), client.request("storage", {})];
  const [first, second] = ports[0]?.sent ?? [];
  ports[0]?.say({ id: second?.id, ok: { usage: 1, quota: 2 } });
  ports[0]?.say({ id: first?.id, error: fault });
  await expect(storage).resolves.toEqual({ usage: 1, quota: 2 });
  await expect(runs).rejects.toBe(fault);
});

test("a restart ends the worker and fails what it was asked", async () => {
  const { client, ports } = connected();
  const asked = client.request("boot", {});
  client.restart(fault);
  await expect(asked).rejects.toBe(fault);
  expect(ports.map((port) => port.ended)).toEqual([true, false]);
  const again = client.request("runs", {});
  ports[1]?.say({ id: ports[1].sent[0]?.id, ok: [] });
  await expect(again).resolves.toEqual([]);
});

test("a worker that throws is a fault with what to do", () => {
  const { ports, pushes } = connected();
  ports[0]?.onerror?.call({} as Worker, { message: "boom", preventDefault() {} } as ErrorEvent);
  expect(pushes).toEqual([
    {
      type: "fault",
      fault: { kind: "crash", what: expect.stringContaining("boom"), help: expect.any(String) },
    },
  ]);
});
