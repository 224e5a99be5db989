// Frames for rewards that a person wrote: of an origin that nothing else has, and with a policy that forbids every connection.
// The page only makes and removes them; the worker that trains asks the reward itself, so that a hidden tab goes on.

import script from "./frame.js?raw";

/** Of the frame and, since a worker that is made of a blob inherits it, of the reward. */
export const POLICY = `default-src 'none'; script-src '${__REWARD_FRAME__}'; worker-src blob:`;

const PAGE = `<!doctype html><meta http-equiv="Content-Security-Policy" content="${POLICY}"><title>Reward</title><script>${script}</script>`;

export class RewardFrames {
  private readonly frames = new Map<number, HTMLIFrameElement>();

  /** Starts a reward; who holds the other end of `port` is told by it how to reach the reward, or what is wrong with it. */
  open(id: number, code: string, port: MessagePort): void {
    const frame = document.createElement("iframe");
    frame.setAttribute("sandbox", "allow-scripts");
    frame.title = "The reward that you wrote";
    frame.hidden = true;
    // Not a file: a service worker does not answer for a frame of another origin, and the page works without a network.
    frame.srcdoc = PAGE;
    const start = () => frame.contentWindow?.postMessage({ code }, "*", [port]);
    frame.addEventListener("load", start, { once: true });
    this.frames.set(id, frame);
    document.body.append(frame);
  }

  /** Ends a reward, whatever it does. */
  close(id: number): void {
    this.frames.get(id)?.remove();
    this.frames.delete(id);
  }

  clear(): void {
    for (const id of [...this.frames.keys()]) this.close(id);
  }
}
