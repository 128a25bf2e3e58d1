// What kernel and browser say to each other about a panel: the same schema as faces.py, pages.py and messages.py in
// jupyter/widgets, held together by a test. Instants are seconds since the epoch by the kernel's clock.

export interface TaskInfo {
  name: string;
  reads: [string, string][];
  writes: string[];
  mutates: string[];
  tags: string[];
  before: number[];
  cell: number;
  attempts: number;
  opaque: string;
}

export interface Topology {
  flow: string;
  svg: string;
  excuse: string;
  tasks: TaskInfo[];
  nodes: number[][];
  shapes: Record<string, string>;
  kernel: string;
  pages: string[];
  hint: string;
}

export interface TaskFace {
  tone: string;
  word: string;
  attempt: number;
  started_at: number | null;
  ended_at: number | null;
  remark: string;
  tries: [number, number, string][];
}

export interface NodeFace {
  tone: string;
  sub: string;
  running_since: number | null;
}

export interface RunFace {
  run_id: string;
  tone: string;
  word: string;
  phrase: string;
  is_final: boolean;
  is_paused: boolean;
  is_waited_for: boolean;
  created_at: number;
  started_at: number | null;
  ended_at: number | null;
  progress: string;
  tones: [string, number][];
  outcome: string;
  parameters: [string, string][];
}

export interface Controls {
  run: string;
  all: string;
  part: string;
  cancel: string;
  pause: string;
  resume: string;
  retry: string;
  coming: number | null;
  again: number | null;
}

export interface ParameterInfo {
  name: string;
  annotation: string;
  value: string;
  help: string;
  is_required: boolean;
  kind: string;
  choices: string[];
}

export interface Asked {
  run_id: string;
  words: string;
  fields: ParameterInfo[];
  until: number;
}

export interface LogLine {
  at: number;
  level: number;
  text: string;
  attempt: number;
}

export interface StateLine {
  at: number;
  tone: string;
  word: string;
  attempt: number;
  message: string;
}

export interface Thing {
  name: string;
  kind: string;
  text: string;
  is_artifact: boolean;
}

export interface PastRun {
  run_id: string;
  tone: string;
  word: string;
  at: number;
  seconds: number | null;
  deployment: string;
  parameters: [string, string][];
  tasks: Record<string, [string, string, number | null]>;
}

export interface History {
  runs: PastRun[];
  rows: string[];
  left: number;
}

export interface ComparedLine {
  kind: string;
  name: string;
  left: string;
  right: string;
  is_same: boolean;
}

export interface DeploymentLine {
  name: string;
  version: number;
  schedules: string[];
  next: string;
  is_paused: boolean;
  runs: [string, string, string][];
  tells: string[];
}

export interface PromoteForm {
  name: string;
  notebook: string;
  problem: string;
  zones: string[];
  zone: string;
  parameters: ParameterInfo[];
  deployments: DeploymentLine[];
  has_worker: boolean;
  facts: [string, string][];
  said: string;
}

export interface Preview {
  words: string;
  due: string[];
  problem: string;
  notice: string;
  doubt: string;
}

export interface Snapshot {
  type: "snapshot";
  seq: number;
  now: number;
  topology?: Topology;
  run: RunFace | null;
  past: string;
  controls: Controls;
  tasks: TaskFace[];
  nodes: NodeFace[];
  usual: (number | null)[];
  parameters: ParameterInfo[];
  asked: Asked | null;
}

export interface Delta {
  type: "delta";
  seq: number;
  now: number;
  run: RunFace | null;
  controls: Controls;
  asked: Asked | null;
  tasks: Record<string, TaskFace>;
  nodes: Record<string, NodeFace>;
}

export interface Detail {
  type: "detail";
  task: string;
  log: LogLine[];
  traceback: string[];
  states: StateLine[];
  things: Thing[];
  waits: [string, string][];
  coming: number | null;
}

export interface Refused {
  type: "refused";
  text: string;
}

export interface Heard {
  type: "heard";
  id: number;
}

export interface Pulse {
  type: "pulse";
  now: number;
}

export interface Answer {
  type: "answer";
  id: number;
  page: string;
  data: unknown;
  error: string;
}

export interface Hello {
  type: "hello";
  id: number;
}

export interface Run {
  type: "run";
  id: number;
  select: string[];
  everything: boolean;
  values: Record<string, string>;
}

export interface Cancel {
  type: "cancel";
  id: number;
  run_id: string;
}

export interface Pause {
  type: "pause";
  id: number;
}

export interface Resume {
  type: "resume";
  id: number;
  run_id: string;
  answer: Record<string, string>;
}

export interface Retry {
  type: "retry";
  id: number;
}

export interface Select {
  type: "select";
  id: number;
  task: string;
}

export interface Look {
  type: "look";
  id: number;
  run_id: string;
}

export interface Ask {
  type: "ask";
  id: number;
  page: string;
  question: unknown;
}

export interface CellOutputs {
  cell: string;
  page: string;
  mark: string;
  outputs: unknown[];
}

export interface Restore {
  type: "restore";
  kernel: string;
  cells: CellOutputs[];
}

export interface HelloAgain {
  type: "hello";
  page: string;
}

export type FromKernel = Snapshot | Delta | Detail | Refused | Heard | Pulse | Answer;
export type FromBrowser = Hello | Run | Cancel | Pause | Resume | Retry | Select | Look | Ask;
