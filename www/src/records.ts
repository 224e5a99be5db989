// Rated answers as log records.

import type { Feedback, Prompt } from "./protocol";

/** A file of records, a line each. */
export function recordsOf(all: Feedback[]): Blob {
  return new Blob(all.map((feedback) => `${JSON.stringify(feedback)}\n`));
}

/** A prompt as a person reads it: of a conversation the last words. */
export function textOf(prompt: Prompt): string {
  if (typeof prompt === "string") return prompt;
  const before = prompt.length > 1 ? "… " : "";
  return `${before}${prompt.at(-1)?.content ?? ""}`;
}
