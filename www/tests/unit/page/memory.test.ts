import { expect, test } from "vitest";
import { lost } from "../../../src/memory";

test("runs that are known and not there are lost", () => {
  expect(lost({ a: "One", b: "Two" }, [{ id: "b" }, { id: "c" }])).toEqual(["“One”"]);
  expect(lost({}, [{ id: "c" }])).toEqual([]);
});
