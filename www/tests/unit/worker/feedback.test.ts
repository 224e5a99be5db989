import { expect, test } from "vitest";
import type { Feedback } from "../../../src/protocol";
import { FeedbackLog } from "../../../src/worker/feedback";
import type { OpfsStore } from "../../../src/worker/opfs";

function log(text = "") {
  let bytes: Uint8Array | undefined = new TextEncoder().encode(text);
  const store = {
    read: async () => bytes,
    write: async (_path: string, written: Uint8Array) => {
      bytes = written;
    },
  };
  const lines = () => new TextDecoder().decode(bytes).split("\n").slice(0, -1);
  return { feedback: new FeedbackLog(store as unknown as OpfsStore), lines };
}

const rated = (id: string, reward: number): Feedback => ({ id, prompt: "2+2=", completion: id, reward });

test("a rating replaces an earlier one of the same answer, and can be taken back", async () => {
  const { feedback, lines } = log();
  await feedback.rate(rated("4", 1));
  await feedback.rate(rated("5", 1));
  await feedback.rate(rated("5", -1));
  expect(await feedback.all()).toEqual([rated("4", 1), rated("5", -1)]);
  expect(lines()).toHaveLength(2);
  await feedback.remove("4");
  expect(await feedback.all()).toEqual([rated("5", -1)]);
});

test("what a crash left half-written is no rating", async () => {
  const { feedback } = log(`${JSON.stringify(rated("4", 1))}\n{"id": "5", "pro`);
  expect(await feedback.all()).toEqual([rated("4", 1)]);
});
