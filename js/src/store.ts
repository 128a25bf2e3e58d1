// What this browser knows of a flow: messages in, changes out. No DOM, so tests can play any order of messages.

import type { Link } from "./link";
import type { Answer, Asked, Controls, Delta, Detail, FromKernel, NodeFace, ParameterInfo, RunFace, Snapshot, TaskFace, Topology } from "./messages";

/** What a message changed: everything, or these tasks and nodes (by number), the detail, or a refusal. */
export type Change =
  | { kind: "all"; topology: boolean }
  | { kind: "some"; tasks: number[]; nodes: number[] }
  | { kind: "detail" }
  | { kind: "refused" }
  | { kind: "selected" }
  | { kind: "answer"; answer: Answer };

const NOTHING: Controls = { run: "", all: "", part: "", cancel: "", pause: "", resume: "", retry: "", coming: null, again: null };

export class Store {
  topology: Topology | null = null;
  run: RunFace | null = null;
  past = "";
  controls: Controls = NOTHING;
  parameters: ParameterInfo[] = [];
  tasks: TaskFace[] = [];
  nodes: NodeFace[] = [];
  usual: (number | null)[] = [];
  /** What a run waits to be told. */
  asked: Asked | null = null;
  detail: Detail | null = null;
  refused = "";
  /** Number of the task somebody looks at, or -1. */
  selected = -1;

  private seq = -1;
  private hasAsked = false;
  private chosenByHand = false;
  private wanted = "";
  private clockAhead = 0;
  private followers: number[][] | null = null;
  private listeners = new Set<(change: Change) => void>();

  constructor(readonly link: Link) {}

  /** Seconds since the epoch by the kernel's clock. */
  now(): number {
    return Date.now() / 1000 - this.clockAhead;
  }

  /** Whether a run goes on, so that the kernel owes us news. */
  get isGoing(): boolean {
    return this.run !== null && !this.run.is_final;
  }

  listen(listener: (change: Change) => void): () => void {
    this.listeners.add(listener);
    return () => this.listeners.delete(listener);
  }

  hello(): void {
    this.hasAsked = true;
    this.link.say({ type: "hello" });
  }

  take(message: FromKernel): void {
    this.link.take(message);
    switch (message.type) {
      case "snapshot":
        return this.takeSnapshot(message);
      case "delta":
        return this.takeDelta(message);
      case "detail":
        this.detail = message;
        return this.tell({ kind: "detail" });
      case "refused":
        this.refused = message.text;
        return this.tell({ kind: "refused" });
      case "answer":
        return this.tell({ kind: "answer", answer: message });
    }
  }

  select(index: number): void {
    this.chosenByHand = true;
    this.look(index);
  }

  /** Shows a past run in place of the latest (the empty id: the latest again), and of it a task if one is named. */
  lookAt(run_id: string, task = ""): void {
    this.chosenByHand = false;
    this.wanted = task;
    this.link.say({ type: "look", run_id });
  }

  dismiss(): void {
    if (!this.refused) return;
    this.refused = "";
    this.tell({ kind: "refused" });
  }

  /** The name of the task somebody looks at, or empty. */
  get selectedName(): string {
    return this.topology?.tasks[this.selected]?.name ?? "";
  }

  /** For every task the numbers of those that wait for it. */
  get after(): number[][] {
    if (!this.followers) {
      this.followers = (this.topology?.tasks ?? []).map(() => []);
      this.topology?.tasks.forEach((task, index) => task.before.forEach((other) => this.followers![other]?.push(index)));
    }
    return this.followers;
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
      if (!this.hasAsked) this.hello();
      return;
    }
    this.hasAsked = false;
    this.seq = message.seq;
    this.clockAhead = Date.now() / 1000 - message.now;
    const name = this.selectedName;
    const before = this.run;
    if (message.topology) {
      this.topology = message.topology;
      this.followers = null;
    }
    this.run = message.run;
    this.past = message.past;
    this.controls = message.controls;
    this.parameters = message.parameters;
    this.tasks = message.tasks;
    this.nodes = message.nodes;
    this.usual = message.usual;
    this.asked = message.asked;
    if (message.run?.run_id !== before?.run_id) this.startAnew();
    if (name) this.selected = this.topology!.tasks.findIndex((task) => task.name === name);
    this.tell({ kind: "all", topology: message.topology !== undefined });
    if (this.wanted) {
      const wanted = this.topology!.tasks.findIndex((task) => task.name === this.wanted);
      this.wanted = "";
      if (wanted >= 0) this.select(wanted);
    }
    this.lookAtFailure();
  }

  private takeDelta(message: Delta): void {
    if (message.seq !== this.seq + 1 || !this.topology) {
      // Something was lost on the way. One question is enough, whatever arrives until it is answered.
      if (!this.hasAsked && message.seq > this.seq) this.hello();
      return;
    }
    this.seq = message.seq;
    this.run = message.run;
    this.controls = message.controls;
    this.asked = message.asked;
    const numbers = (faces: object) => Object.keys(faces).map(Number);
    const tasks = numbers(message.tasks);
    const nodes = numbers(message.nodes);
    for (const index of tasks) this.tasks[index] = message.tasks[index]!;
    for (const index of nodes) this.nodes[index] = message.nodes[index]!;
    this.tell({ kind: "some", tasks, nodes });
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
