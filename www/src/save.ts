import { h } from "./element";

/** Offers `blob` as a download called `name`. */
export function save(blob: Blob, name: string): void {
  const url = URL.createObjectURL(blob);
  h("a", { href: url, download: name }).click();
  // The browser needs the address until it has begun.
  setTimeout(() => URL.revokeObjectURL(url), 60_000);
}

/** `name` as the name of a file on every system. */
export function fileName(name: string): string {
  const plain = name.normalize("NFKD").replace(/[^\w.-]+/g, "-");
  return plain.replace(/^[-.]+|[-.]+$/g, "").slice(0, 60) || "run";
}
