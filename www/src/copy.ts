/** Copies `text`; says how it went. */
export async function copy(text: string, done: string): Promise<string> {
  try {
    await navigator.clipboard.writeText(text);
    return done;
  } catch {
    return `The browser did not let the page copy. Here it is: ${text}`;
  }
}
