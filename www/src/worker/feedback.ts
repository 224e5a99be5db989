// Answers that a person rated, kept until they are removed.

import type { Feedback } from "../protocol";
import { linesOf } from "./history";
import type { OpfsStore } from "./opfs";

const FILE = "feedback.jsonl";

export class FeedbackLog {
  constructor(private readonly store: OpfsStore) {}

  async all(): Promise<Feedback[]> {
    const bytes = await this.store.read(FILE);
    return linesOf(new TextDecoder().decode(bytes)) as unknown as Feedback[];
  }

  /** A rating replaces an earlier one of the same answer. */
  async rate(feedback: Feedback): Promise<void> {
    const others = (await this.all()).filter(({ id }) => id !== feedback.id);
    await this.write([...others, feedback]);
  }

  async remove(id: string): Promise<void> {
    await this.write((await this.all()).filter((feedback) => feedback.id !== id));
  }

  private write(all: Feedback[]): Promise<void> {
    const lines = all.map((feedback) => `${JSON.stringify(feedback)}\n`);
    return this.store.write(FILE, new TextEncoder().encode(lines.join("")));
  }
}
