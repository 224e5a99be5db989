import { afterEach, expect, test } from "vitest";
import type { Push } from "../../../src/protocol";
import { codeOf, LINES_BEFORE } from "../../../src/reward/code";
import { Judge } from "../../../src/worker/judge";

type Frame = Extract<Push, { type: "frame" }>;

/** What a frame does, without one: runs the code here, where an endless loop is one that never answers. */
function frames(limit = 60) {
  const open = new Map<number, MessagePort[]>();
  const opened: Frame[] = [];
  const judge = new Judge(
    (push) => {
      if (push.type === "unframe") {
        for (const port of open.get(push.frame) ?? []) port.close();
        open.delete(push.frame);
      }
      if (push.type !== "frame") return;
      opened.push(push);
      const { port1, port2 } = new MessageChannel();
      open.set(push.frame, [push.port, port2]);
      try {
        const scope: { onmessage?: (event: { ports: MessagePort[] }) => void } = {};
        new Function("self", push.code)(scope);
        push.port.postMessage({ port: port1 }, [port1]);
        scope.onmessage?.({ ports: [port2] });
      } catch (error) {
        push.port.postMessage({ error: String(error), line: 2 });
      }
    },
    limit,
    300,
  );
  judges.push(judge);
  return { judge, open, opened };
}

const judges: Judge[] = [];
afterEach(() => {
  for (const judge of judges.splice(0)) judge.close();
});

const asked = (...completions: string[]) =>
  completions.map((completion) => ({ record: { prompt: "p", answer: "4" }, completion }));

test("a function scores what it is asked, and is started once", async () => {
  const { judge, opened } = frames();
  const source = "(record, completion) => completion === record.answer ? 1 : -0.5; // mine";
  expect(await judge.score(source, asked("4", "5"), false)).toEqual([{ score: 1 }, { score: -0.5 }]);
  expect(await judge.score(source, asked("4"), true)).toEqual([{ score: 1 }]);
  expect(opened).toHaveLength(1);
  // Another function is another frame.
  expect(await judge.score("async () => 7;\n", asked("4"), true)).toEqual([{ score: 7 }]);
  expect(opened).toHaveLength(2);
});

test("what is no number is told, and ends the batch unless all are wanted", async () => {
  const { judge } = frames();
  const source = `(record, completion) => {
    if (completion === "throw") throw new TypeError("bad " + record.prompt);
    return { nan: NaN, text: "1", yes: true }[completion] ?? 2;
  }`;
  const completions = asked("ok", "throw", "text", "nan", "yes", "ok");
  const want = [
    { score: 2 },
    { error: "threw TypeError: bad p" },
    { error: 'returned "1", which is no number' },
    { score: Number.NaN },
    { error: "returned true, which is no number" },
    { score: 2 },
  ];
  expect(await judge.score(source, completions, true)).toEqual(want);
  expect(await judge.score(source, completions, false)).toEqual(want.slice(0, 2));
  expect(await judge.score(source, completions.slice(3), false)).toEqual([want[3]]);
});

test("one that does not answer in time is ended, and begun anew for the next", async () => {
  const { judge, opened, open } = frames();
  const source = `(record, completion) => completion === "loop" ? new Promise(() => {}) : 1`;
  const verdicts = await judge.score(source, asked("a", "loop", "b"), true);
  expect(verdicts).toEqual([{ score: 1 }, { error: "gave no score in 0.06 s" }, { score: 1 }]);
  expect(opened).toHaveLength(2);
  expect([...open.keys()]).toEqual([opened[1]?.frame]);
  judge.close();
  expect(open.size).toBe(0);
});

test("code that is none is told with its line, and tried again the next time", async () => {
  const { judge, opened } = frames();
  for (let times = 1; times <= 2; times++) {
    const [verdict] = await judge.score("(record, completion) =>", asked("a"), false);
    expect(verdict).toEqual({ error: expect.stringMatching(/^failed: SyntaxError: .* \(line 1\)$/) });
    expect(opened).toHaveLength(times);
  }
  const [verdict] = await judge.score("7", asked("a"), false);
  expect(verdict).toEqual({ error: "failed: Error: this is 7, and no function (line 1)" });
});

test("a page that gives no frame is told of", async () => {
  const judge = new Judge(() => {}, 60, 50);
  expect(await judge.score("() => 1", asked("a"), true)).toEqual([{ error: "was given no frame to run in" }]);
});

test("what a function calls may stand behind it", async () => {
  const { judge } = frames();
  const source =
    "(record, completion) => half(completion);\nfunction half(text) {\n  return text.length / 2;\n}";
  expect(await judge.score(source, asked("abc"), true)).toEqual([{ score: 1.5 }]);
  expect(codeOf(source).split("\n")[LINES_BEFORE]).toBe("(record, completion) => half(completion);");
});
