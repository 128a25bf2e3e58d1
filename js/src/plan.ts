// What the wiring and the times of tasks say together: when each could have begun, which chain of tasks made the run as
// long as it was, who shared the time with whom, and how long what is left will take. Pure.

import type { TaskFace, TaskInfo } from "./messages";

type Waits = Pick<TaskInfo, "before">;
type Timed = Pick<TaskFace, "started_at" | "ended_at" | "tone" | "tries">;

const DONE = new Set(["completed", "cached", "failed", "crashed", "upstream", "cancelled"]);

/** When everything that a task waits for had ended; when the run began for those that wait for nothing. */
export function readyAt(index: number, infos: Waits[], faces: Timed[], began: number): number {
  return Math.max(began, ...infos[index]!.before.map((other) => faces[other]?.ended_at ?? began));
}

/** When the first attempt of a task began. */
export function firstStart(face: Timed): number | null {
  return face.tries[0]?.[0] ?? face.started_at;
}

/**
 * The chain of tasks that decided how long the run took: the last to end, before it the last that it waited for, and so
 * on. Tasks that were not performed do not count.
 */
export function criticalPath(infos: Waits[], faces: Timed[], now: number): Set<number> {
  const end = (index: number) => {
    const face = faces[index];
    return face?.started_at == null ? -Infinity : (face.ended_at ?? now);
  };
  const last = (indexes: number[]) =>
    indexes.reduce((best, index) => (end(index) > (best < 0 ? -Infinity : end(best)) ? index : best), -1);
  const found = new Set<number>();
  for (let at = last(faces.map((_, index) => index)); at >= 0 && !found.has(at); at = last(infos[at]?.before ?? [])) found.add(at);
  return found;
}

/** For every span the number of the first lane that is free when it begins; spans come in order of their beginning. */
export function lanes(spans: [number, number][]): number[] {
  const ends: number[] = [];
  return spans.map(([from, to]) => {
    const free = ends.findIndex((end) => end <= from);
    const lane = free < 0 ? ends.length : free;
    ends[lane] = to;
    return lane;
  });
}

/** Task numbers so that each comes after those it waits for. */
export function inOrder(infos: Waits[]): number[] {
  const waiting = infos.map((info) => info.before.length);
  const after: number[][] = infos.map(() => []);
  infos.forEach((info, index) => info.before.forEach((other) => after[other]?.push(index)));
  const order = infos.flatMap((_, index) => (waiting[index] ? [] : [index]));
  for (let at = 0; at < order.length; at++) {
    for (const next of after[order[at]!]!) if (!--waiting[next]!) order.push(next);
  }
  return order;
}

/**
 * How many seconds are left, if every task takes as long as it usually does and there is room for all that can run; null
 * where too little is known. A task that is not known takes the mean of those that are.
 */
export function secondsLeft(infos: Waits[], faces: Timed[], usual: (number | null)[], now: number): number | null {
  const open = infos.flatMap((_, index) => (DONE.has(faces[index]?.tone ?? "") ? [] : [index]));
  const known = open.map((index) => usual[index]).filter((seconds): seconds is number => seconds != null);
  if (!known.length || known.length * 2 < open.length) return null;
  const mean = known.reduce((sum, seconds) => sum + seconds, 0) / known.length;
  const ends: number[] = [];
  for (const index of inOrder(infos)) {
    const face = faces[index];
    const begins = Math.max(0, ...infos[index]!.before.map((other) => ends[other] ?? 0));
    if (!face || DONE.has(face.tone)) ends[index] = 0;
    else {
      const length = usual[index] ?? mean;
      const gone = face.started_at !== null && face.ended_at === null ? now - face.started_at : 0;
      ends[index] = begins + Math.max(0, length - gone);
    }
  }
  return ends.reduce((most, end) => Math.max(most, end ?? 0), 0);
}

/** Everything that `neighbours` lead to from a task, without it. */
export function reach(start: number, neighbours: (index: number) => number[]): Set<number> {
  const found = new Set<number>();
  const todo = [start];
  while (todo.length) {
    for (const other of neighbours(todo.pop()!)) {
      if (found.has(other) || other === start) continue;
      found.add(other);
      todo.push(other);
    }
  }
  return found;
}
