import { expect, test } from "vitest";
import { bytes, counted, duration, percent, short } from "../../../src/format";
import { fileName } from "../../../src/save";

test("numbers are short, and what is none says so", () => {
  expect([0, 1.23456, -0.5, 12345.6, 1e-5, 1e9].map(short)).toEqual([
    "0",
    "1.235",
    "−0.5",
    "12,346",
    "1.00e−5",
    "1.00e+9",
  ]);
  expect([null, undefined, Number.NaN, -Infinity].map(short)).toEqual(["–", "–", "–", "−∞"]);
});

test("sizes and times", () => {
  expect([0, 1023, 1024, 2.5 * 2 ** 20, 300 * 2 ** 30].map(bytes)).toEqual([
    "0 B",
    "1023 B",
    "1.0 KiB",
    "2.5 MiB",
    "300 GiB",
  ]);
  expect([0.2, 42, 600, 7200, Infinity].map(duration)).toEqual([
    "under a second",
    "42 s",
    "10 min",
    "2.0 h",
    "–",
  ]);
  expect([0, 1, 1234].map((n) => counted(n, "line"))).toEqual(["0 lines", "1 line", "1,234 lines"]);
  expect(percent(0.985)).toBe("98.5%");
});

test("a run's name is a file's name", () => {
  expect(fileName("My run: β = 0.1 / take 2")).toBe("My-run-0.1-take-2");
  expect(fileName("../..")).toBe("run");
});
