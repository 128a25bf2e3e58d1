// What kernel and browser say to each other about a panel: the same schema as widgets/messages.py, held together by a
// test. Instants are seconds since the epoch by the kernel's clock.

export interface TaskInfo {
  name: string;
  reads: [string, string][];
  writes: string[];
  mutates: string[];
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
}

export interface TaskFace {
  tone: string;
  word: string;
  attempt: number;
  started_at: number | null;
  ended_at: number | null;
  remark: string;
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
  can_cancel: boolean;
  started_at: number | null;
  ended_at: number | null;
  progress: string;
  tones: [string, number][];
  outcome: string;
}

export interface LogLine {
  at: number;
  level: number;
  text: string;
}

export interface Snapshot {
  type: "snapshot";
  seq: number;
  now: number;
  topology?: Topology;
  run: RunFace | null;
  tasks: TaskFace[];
  nodes: NodeFace[];
}

export interface Delta {
  type: "delta";
  seq: number;
  now: number;
  run: RunFace | null;
  tasks: Record<string, TaskFace>;
  nodes: Record<string, NodeFace>;
}

export interface Detail {
  type: "detail";
  task: string;
  log: LogLine[];
  traceback: string[];
}

export interface Refused {
  type: "refused";
  text: string;
}

export interface Hello {
  type: "hello";
}

export interface Run {
  type: "run";
  select: string[];
  everything: boolean;
}

export interface Cancel {
  type: "cancel";
}

export interface Select {
  type: "select";
  task: string;
}

export type FromKernel = Snapshot | Delta | Detail | Refused;
export type FromBrowser = Hello | Run | Cancel | Select;
