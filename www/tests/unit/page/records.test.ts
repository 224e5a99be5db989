import { expect, test } from "vitest";
import type { Feedback } from "../../../src/protocol";
import { recordsOf, textOf } from "../../../src/records";

test("what is exported is a record a line, with all that the core said of the answer", async () => {
  const plain: Feedback = { id: "4", prompt: "2+2=", completion: "4", reward: 1 };
  const talk = [{ role: "user", content: "2+2?\n" }];
  const cut: Feedback = { id: "a", prompt: talk, completion: "It is", truncated: true, reward: 0.5 };
  const text = await recordsOf([plain, cut]).text();
  expect(text.endsWith("\n")).toBe(true);
  const lines = text.trimEnd().split("\n");
  expect(lines.map((line) => JSON.parse(line))).toEqual([plain, cut]);
});

test("of a conversation its last words are shown", () => {
  expect(textOf("2+2=")).toBe("2+2=");
  expect(textOf([{ role: "user", content: "hi" }])).toBe("hi");
  const talk = ["a", "b", "c"].map((content) => ({ role: "user", content }));
  expect(textOf(talk)).toBe("… c");
});
