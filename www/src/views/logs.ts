// Files of records: dropped, read, and what is in them said.

import type { App } from "../app";
import { dropZone } from "../drop";
import { fill, h } from "../element";
import { faultOf } from "../errors";
import { counted } from "../format";
import type { Fault, LogsReport, NamedFile } from "../protocol";

/** A place for files of records; `files` are those that were given last. */
export class RecordFiles {
  readonly root = h("div");
  files: NamedFile[] = [];
  private readonly state = h("div", { class: "help", "aria-live": "polite" });

  constructor(
    private readonly app: App,
    text: string,
    private readonly onchange: () => void,
    multiple = true,
  ) {
    const zone = dropZone(text, { multiple, accept: ".jsonl,.json,.txt" }, (files) => {
      this.files = multiple ? files : files.slice(0, 1);
      void this.check();
      this.onchange();
    });
    this.root.append(zone, this.state);
  }

  private async check(): Promise<void> {
    const { files, state } = this;
    fill(state, "Reading …");
    try {
      const reports = await Promise.all(files.map((file) => this.app.client.request("check", { file })));
      if (files === this.files)
        fill(state, ...reports.map((report, i) => describeLogs(files[i]?.path ?? "", report)));
    } catch (error) {
      fill(state, ...describeFault(faultOf(error)));
    }
  }
}

function describeLogs(path: string, report: LogsReport): HTMLElement {
  const reward = report.reward
    ? `, rewards from ${report.reward.min} to ${report.reward.max}`
    : ", without rewards";
  const head = `${path}: ${counted(report.records, "record")}${report.records > 0 ? reward : ""}`;
  if (report.rejected === 0) return h("p", { text: `${head}.` });
  const reasons = report.reasons.map(({ field, reason, count: times, lines }) =>
    h("li", {
      text: `line ${lines.slice(0, 3).join(", ")}${times > 3 ? " …" : ""}: ${field ? `${field}: ` : ""}${reason}`,
    }),
  );
  const text = `${head}; ${counted(report.rejected, "line")} not to be used. Mend the file, or turn on “skip invalid” under all settings.`;
  return h("div", { class: "bad" }, h("p", { text }), h("ul", {}, ...reasons.slice(0, 8)));
}

export function describeFault(fault: Fault): HTMLElement[] {
  return [h("span", { class: "bad", text: `${fault.what}. ` }), h("span", { text: `${fault.help}.` })];
}
