// Settings in a link: what a run is made of, but for its data.

export interface Shared {
  /** `demo`, or a preset's name; a model from files cannot go into a link. */
  model?: string;
  /** Of an online run: an embedded task, or `own` where the prompts are a file, which a link does not hold. */
  prompts?: string;
  settings: Record<string, unknown>;
}

/** JSON in base64url. */
export function encode(value: unknown): string {
  const bytes = new TextEncoder().encode(JSON.stringify(value));
  const text = String.fromCharCode(...bytes);
  return btoa(text).replaceAll("+", "-").replaceAll("/", "_").replace(/=+$/, "");
}

/** What was encoded; undefined where `text` is something else. Takes plain base64 too. */
export function decode(text: string): Record<string, unknown> | undefined {
  try {
    const binary = atob(text.replaceAll("-", "+").replaceAll("_", "/"));
    const bytes = Uint8Array.from(binary, (char) => char.charCodeAt(0));
    const value: unknown = JSON.parse(new TextDecoder("utf-8", { fatal: true }).decode(bytes));
    return isObject(value) ? value : undefined;
  } catch {
    return undefined;
  }
}

export function linkTo(shared: Shared, page: string): string {
  const url = new URL(page);
  url.search = "";
  url.hash = `train/${encode(shared)}`;
  return url.href;
}

/** The settings that a link's hash (`#train/...`) holds. */
export function sharedIn(hash: string): Shared | undefined {
  const text = /^#train\/(.+)$/.exec(hash)?.[1];
  const value = text ? decode(text) : undefined;
  if (!value || !isObject(value.settings)) return undefined;
  const model = typeof value.model === "string" ? { model: value.model } : {};
  const prompts = typeof value.prompts === "string" ? { prompts: value.prompts } : {};
  return { ...model, ...prompts, settings: value.settings };
}

function isObject(value: unknown): value is Record<string, unknown> {
  return typeof value === "object" && value !== null && !Array.isArray(value);
}
