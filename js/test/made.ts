// Messages as a kernel would send them, for tests that change what they are about.

import { Link } from "../src/link";
import type { Controls, Delta, FromBrowser, RunFace, Snapshot, TaskFace, TaskInfo, Topology } from "../src/messages";

export const task = (tone: string, word = tone, more: Partial<TaskFace> = {}): TaskFace => ({
  tone,
  word,
  attempt: tone ? 1 : 0,
  started_at: tone ? 10 : null,
  ended_at: null,
  remark: "",
  tries: [],
  ...more,
});

export const run = (run_id: string, is_final = false, more: Partial<RunFace> = {}): RunFace => ({
  run_id,
  tone: "running",
  word: is_final ? "Completed" : "Running",
  phrase: "Running {}",
  is_final,
  is_paused: false,
  is_waited_for: false,
  created_at: 9,
  started_at: 10,
  ended_at: is_final ? 20 : null,
  progress: "",
  tones: [],
  outcome: "",
  parameters: [],
  ...more,
});

export const info = (name: string, before: number[] = [], more: Partial<TaskInfo> = {}): TaskInfo => ({
  name,
  reads: [],
  writes: [],
  mutates: [],
  tags: [],
  before,
  cell: 0,
  attempts: 1,
  opaque: "",
  ...more,
});

export const topology = (...names: (string | TaskInfo)[]): Topology => ({
  flow: "nightly",
  svg: "",
  excuse: "",
  tasks: names.map((name) => (typeof name === "string" ? info(name) : name)),
  nodes: names.map((_, index) => [index]),
  shapes: {},
  kernel: "",
  pages: ["history", "promote"],
  hint: "No tasks yet: begin a cell with `%%task NAME`.",
});

export const controls = (more: Partial<Controls> = {}): Controls => ({
  run: "",
  all: "",
  part: "",
  cancel: "Nothing is running.",
  pause: "Nothing is running.",
  resume: "The run is not paused.",
  retry: "No task has failed.",
  coming: null,
  again: null,
  ...more,
});

export const snapshot = (seq: number, more: Partial<Snapshot> = {}): Snapshot => ({
  type: "snapshot",
  seq,
  now: Date.now() / 1000,
  run: null,
  past: "",
  controls: controls(),
  tasks: (more.topology?.tasks ?? [1, 2]).map(() => task("")),
  nodes: [],
  usual: [],
  parameters: [],
  asked: null,
  ...more,
});

export const delta = (seq: number, more: Partial<Delta> = {}): Delta => ({
  type: "delta",
  seq,
  now: Date.now() / 1000,
  run: run("1"),
  controls: controls(),
  asked: null,
  tasks: {},
  nodes: {},
  ...more,
});

/** A way to a kernel that never answers by itself, and what was said to it. */
export function link(clock?: () => number): { way: Link; said: FromBrowser[] } {
  const said: FromBrowser[] = [];
  return { way: new Link((message) => said.push(message), clock), said };
}
