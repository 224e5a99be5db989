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

test("a wasm that trapped or has no memory left ends the worker", () => {
  for (const thrown of [new WebAssembly.RuntimeError("unreachable"), new RangeError("allocation failed")]) {
    const fault = faultOf(thrown);
    expect(fault.what).toContain(thrown.message);
    expect(isFatal(fault)).toBe(true);
  }
});

test("whatever else is thrown is told, and ends nothing", () => {
  for (const thrown of [new Error("odd"), "odd", new DOMException("odd", "NotAllowedError")]) {
    const fault = faultOf(thrown);
    expect(fault.what).toContain("odd");
    expect(isFatal(fault)).toBe(false);
  }
  expect(faultOf(undefined).help).not.toBe("");
});
