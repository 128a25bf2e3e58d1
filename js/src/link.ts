// The way to the kernel, and what its silence means. Every message bears a number and the kernel says that it has heard
// it, so a kernel that is busy, or gone, is noticed at once instead of clicks being swallowed.

import type { FromBrowser, FromKernel } from "./messages";

/** A kernel that has not answered a click for so long is busy (milliseconds); ones that can, answer in 5 to 30. */
const BUSY = 400;
/** A run that goes on is told of at least every 5 seconds; after so many nobody tells any more. */
const LOST = 16;

const QUIET = new Set<FromBrowser["type"]>(["hello", "select"]);

type Distribute<T> = T extends unknown ? Omit<T, "id"> : never;
export type Said = Distribute<FromBrowser>;

export type Silence = "" | "busy" | "lost" | "gone";

export class Link {
  /** Why the kernel does not answer, or empty. */
  silence: Silence = "";
  private number = 0;
  private open = new Map<number, FromBrowser>();
  private heardAt = 0;
  private listeners = new Set<(silence: Silence) => void>();

  constructor(
    private readonly post: (message: FromBrowser) => void,
    private readonly clock: () => number = () => Date.now() / 1000,
  ) {
    this.heardAt = this.clock();
  }

  listen(listener: (silence: Silence) => void): () => void {
    this.listeners.add(listener);
    return () => this.listeners.delete(listener);
  }

  /** Sends a message; returns its number. */
  say(said: Said): number {
    const message = { ...said, id: ++this.number } as FromBrowser;
    this.open.set(message.id, message);
    // Nobody waits for what the panel says of its own accord.
    if (!QUIET.has(message.type)) setTimeout(() => this.open.has(message.id) && this.become("busy"), BUSY);
    try {
      this.post(message);
    } catch {
      this.become("gone");
    }
    return message.id;
  }

  /** Takes note that the kernel lives; `isGoing` is whether it owes us news. */
  take(message: FromKernel): void {
    this.heardAt = this.clock();
    if (message.type === "heard") {
      // Messages are handled in order, so what came before has been heard too.
      for (const id of [...this.open.keys()]) if (id <= message.id) this.open.delete(id);
    }
    const isWaiting = [...this.open.values()].some((open) => !QUIET.has(open.type));
    if (this.silence === "lost" || (this.silence === "busy" && !isWaiting)) this.become("");
  }

  /** Looks whether a run that goes on has become silent. */
  watch(isGoing: boolean): void {
    if (isGoing && !this.silence && this.clock() - this.heardAt > LOST) this.become("lost");
  }

  /** The kernel has ended, or has begun anew: nothing more will come. */
  end(): void {
    this.become("gone");
  }

  /** Whether a message of this type has not been heard yet. */
  waits(type: FromBrowser["type"]): boolean {
    return [...this.open.values()].some((message) => message.type === type);
  }

  private become(silence: Silence): void {
    if (this.silence === "gone" || silence === this.silence) return;
    this.silence = silence;
    for (const listener of [...this.listeners]) listener(silence);
  }
}

/** What a person reads about it. */
export function silenceWords(silence: Silence, isWaitedFor: boolean): string {
  if (silence === "gone") return "The kernel of this panel has ended. What is shown is how things stood then; run the cell again.";
  if (silence === "lost") return "The kernel has said nothing for a while: what is shown may be out of date.";
  if (silence !== "busy") return "";
  return isWaitedFor
    ? "The kernel is busy with the cell that waits for this run, and answers when it can. Interrupting the kernel cancels the run at once."
    : "The kernel is busy with a cell. What was clicked is done when that ends, or when the cell is interrupted.";
}

/**
 * Interrupts the kernel by its server's own means, as the stop button of the toolbar does; false where the page is not
 * one of a Jupyter server.
 */
export async function interrupt(kernel: string): Promise<boolean> {
  const config = document.getElementById("jupyter-config-data")?.textContent;
  if (!kernel || !config) return false;
  try {
    const { baseUrl = "/", token = "" } = JSON.parse(config) as { baseUrl?: string; token?: string };
    const xsrf = document.cookie.match(/(?:^|; )_xsrf=([^;]*)/)?.[1] ?? "";
    const headers: Record<string, string> = { "X-XSRFToken": decodeURIComponent(xsrf) };
    if (token) headers["Authorization"] = `token ${token}`;
    const url = `${baseUrl}api/kernels/${encodeURIComponent(kernel)}/interrupt`;
    return (await fetch(url, { method: "POST", headers, credentials: "same-origin" })).ok;
  } catch {
    return false;
  }
}
