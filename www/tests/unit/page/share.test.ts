import { expect, test } from "vitest";
import { decode, encode, linkTo, sharedIn } from "../../../src/share";

test("a link gives back the settings, and none of the page's own query", () => {
  const shared = { model: "nano", settings: { beta: 0.1, schedule: "cosine", note: "β ≠ 1" } };
  const link = linkTo(shared, "https://host/sub/?bench=nano#runs");
  expect(link).toMatch(/^https:\/\/host\/sub\/#train\/[\w-]+$/);
  expect(sharedIn(new URL(link).hash)).toEqual(shared);
});

test("what is not settings is nothing", () => {
  for (const hash of [
    "",
    "#train",
    "#train/",
    "#train/%%%",
    `#train/${encode([1])}`,
    `#train/${encode({ settings: 1 })}`,
    "#runs/abc",
  ]) {
    expect(sharedIn(hash)).toBeUndefined();
  }
});

test("plain base64 is read too", () => {
  expect(decode(btoa('{"a":"??>>"}'))).toEqual({ a: "??>>" });
});
