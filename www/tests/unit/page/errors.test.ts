import { expect, test } from "vitest";
import { faultOf, isFatal } from "../../../src/errors";

test("an error of the core stays what it is, its kind in one spelling", () => {
  const fault = { kind: "TooLarge", what: "a", help: "b" };
  expect(faultOf(fault)).toEqual({ kind: "too-large", what: "a", help: "b" });
  expect(faultOf({ ...fault, kind: "not_finite" }).kind).toBe("not-finite");
});

test("a full disk says what to do", () => {
  const fault = faultOf(new DOMException("", "QuotaExceededError"));
  expect(fault).toMatchObject({ kind: "store", help: expect.stringContaining("delete") });
  expect(isFatal(fault)).toBe(false);
});

test("whatever else is thrown ends the worker, and nothing is thrown away", () => {
  for (const thrown of [
    new WebAssembly.RuntimeError("unreachable"),
    new Error("unreachable"),
    "unreachable",
  ]) {
    const fault = faultOf(thrown);
    expect(fault.what).toContain("unreachable");
    expect(isFatal(fault)).toBe(true);
  }
  expect(faultOf(undefined).help).not.toBe("");
});
