// The code of a reward's worker: a person's function, and what stands behind it.

import serve from "./serve.js?raw";

/** The lines before a person's own. */
export const LINES_BEFORE = 1;

/** `source` is a function; what it calls may stand behind it. */
export function codeOf(source: string): string {
  return `const reward =\n${source}\n;\n${serve}`;
}
