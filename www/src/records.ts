// Rated answers and embedded tasks as files of records.

import type { Feedback, NamedFile, Prompt, TaskInfo } from "./protocol";

/** A file of records, a line each. */
export function recordsOf(all: Feedback[]): Blob {
  return new Blob(all.map((feedback) => `${JSON.stringify(feedback)}\n`));
}

/** What an embedded task asks a model, and what it is measured with. */
export function asked(name: string, task: TaskInfo): { prompts: NamedFile; evalPrompts: NamedFile } {
  return {
    prompts: { path: `${name}.jsonl`, file: new Blob([task.prompts]) },
    evalPrompts: { path: `${name}-held-out.jsonl`, file: new Blob([task.held_out]) },
  };
}

/** A prompt as a person reads it: of a conversation the last words. */
export function textOf(prompt: Prompt): string {
  if (typeof prompt === "string") return prompt;
  const before = prompt.length > 1 ? "… " : "";
  return `${before}${prompt.at(-1)?.content ?? ""}`;
}
