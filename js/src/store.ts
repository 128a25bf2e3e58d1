// What this browser knows of a flow: messages in, changes out. No DOM, so tests can play any order of messages.

import type { Delta, Detail, FromKernel, NodeFace, RunFace, Snapshot, TaskFace, Topology } from "./messages";

/** What a message changed: everything, or these tasks and nodes (by number), the detail, or a refusal. */
export type Change =
  | { kind: "all"; topology: boolean }
  | { kind: "some"; tasks: number[]; nodes: number[] }
  | { kind: "detail" }
  | { kind: "refused" }
  | { kind: "selected" };

export class Store {
  topology: Topology | null = null;
  run: RunFace | null = null;
  tasks: TaskFace[] = [];
  nodes: NodeFace[] = [];
  detail: Detail | null = null;
  refused = "";
  /** Number of the task somebody looks at, or -1. */
  selected = -1;

  private seq = -1;
  private asked = false;
  private chosenByHand = false;
  private clockAhead = 0;
  private listeners = new Set<(change: Change) => void>();

  constructor(private readonly ask: () => void) {}

  /** Seconds since the epoch by the kernel's clock. */
  now(): number {
    return Date.now() / 1000 - this.clockAhead;
  }

  listen(listener: (change: Change) => void): () => void {
    this.listeners.add(listener);
    return () => this.listeners.delete(listener);
  }

  hello(): void {
    this.asked = true;
    this.ask();
  }

  take(message: FromKernel): void {
    if (message.type === "snapshot") this.takeSnapshot(message);
    else if (message.type === "delta") this.takeDelta(message);
    else if (message.type === "detail") {
      this.detail = message;
      this.tell({ kind: "detail" });
    } else if (message.type === "refused") {
      this.refused = message.text;
      this.tell({ kind: "refused" });
    }
  }

  select(index: number): void {
    this.chosenByHand = true;
    this.look(index);
  }

  dismiss(): void {
    this.refused = "";
    this.tell({ kind: "refused" });
  }

  /** The name of the task somebody looks at, or empty. */
  get selectedName(): string {
    return this.topology?.tasks[this.selected]?.name ?? "";
  }

  private look(index: number): void {
    if (index === this.selected) return;
    this.selected = index;
    this.detail = null;
    this.tell({ kind: "selected" });
  }

  private takeSnapshot(message: Snapshot): void {
    if (!message.topology && !this.topology) {
      // Somebody else's snapshot: ours is on its way, or must be asked for.
      if (!this.asked) this.hello();
      return;
    }
    this.asked = false;
    this.seq = message.seq;
    this.clockAhead = Date.now() / 1000 - message.now;
    const name = this.selectedName;
    const before = this.run;
    if (message.topology) this.topology = message.topology;
    this.run = message.run;
    this.tasks = message.tasks;
    this.nodes = message.nodes;
    if (message.run?.run_id !== before?.run_id) this.startAnew();
    if (name) this.selected = this.topology!.tasks.findIndex((task) => task.name === name);
    this.tell({ kind: "all", topology: message.topology !== undefined });
    this.lookAtFailure();
  }

  private takeDelta(message: Delta): void {
    if (message.seq !== this.seq + 1 || !this.topology) {
      // Something was lost on the way. One question is enough, whatever arrives until it is answered.
      if (!this.asked && message.seq > this.seq) this.hello();
      return;
    }
    this.seq = message.seq;
    this.run = message.run;
    const numbers = (faces: object) => Object.keys(faces).map(Number);
    for (const index of numbers(message.tasks)) this.tasks[index] = message.tasks[index]!;
    for (const index of numbers(message.nodes)) this.nodes[index] = message.nodes[index]!;
    this.tell({ kind: "some", tasks: numbers(message.tasks), nodes: numbers(message.nodes) });
    this.lookAtFailure();
  }

  private startAnew(): void {
    this.refused = "";
    this.chosenByHand = false;
    this.detail = null;
  }

  /** Shows the first failure to somebody who has not chosen to look at something else. */
  private lookAtFailure(): void {
    if (this.chosenByHand) return;
    const failed = this.tasks.findIndex((task) => task.tone === "failed" || task.tone === "crashed");
    if (failed >= 0) this.look(failed);
  }

  private tell(change: Change): void {
    for (const listener of [...this.listeners]) listener(change);
  }
}
