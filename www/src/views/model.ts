// A model folder that a person gave, in words.

import { bytes, counted } from "../format";
import type { NamedFile } from "../protocol";

export function describeModel(files: NamedFile[]): string {
  const names = new Set(files.map(({ path }) => path.slice(path.lastIndexOf("/") + 1)));
  const weights = [...names].some((name) => name.endsWith(".safetensors"));
  const lacking = [
    ...["config.json", "tokenizer.json"].filter((name) => !names.has(name)),
    ...(weights ? [] : ["model.safetensors"]),
  ];
  const size = bytes(files.reduce((sum, { file }) => sum + file.size, 0));
  if (lacking.length > 0)
    return `${counted(files.length, "file")}, but no ${lacking.join(" and no ")}: choose the whole folder.`;
  return `${counted(files.length, "file")}, ${size}.`;
}
