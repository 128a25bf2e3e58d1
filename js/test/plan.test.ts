import assert from "node:assert/strict";
import { test } from "vitest";

import { criticalPath, inOrder, lanes, reach, readyAt, secondsLeft } from "../src/plan";
import { info, task } from "./made";

// load → fit, load → draw, fit + draw → report; fit decides.
const INFOS = [info("load"), info("fit", [0]), info("draw", [0]), info("report", [1, 2])];
const ended = (from: number, to: number) => task("completed", "Completed", { started_at: from, ended_at: to });
const DONE = [ended(0, 2), ended(3, 9), ended(2, 4), ended(9, 10)];

test("the critical path is the chain of those that ended last", () => {
  assert.deepEqual([...criticalPath(INFOS, DONE, 10)], [3, 1, 0]);
  assert.deepEqual([...criticalPath(INFOS, INFOS.map(() => task("")), 10)], []);
});

test("a task is ready when the last of those it waits for has ended", () => {
  assert.deepEqual(INFOS.map((_, index) => readyAt(index, INFOS, DONE, 0)), [0, 2, 2, 9]);
});

test("spans that overlap get lanes of their own, and a lane is used again", () => {
  assert.deepEqual(lanes([[0, 2], [1, 3], [2, 4], [2.5, 3]]), [0, 1, 0, 2]);
});

test("what is left is the longest way through what is not done", () => {
  const usual = [2, 6, 2, 1];
  const faces = [ended(0, 2), task("running", "Running", { started_at: 2 }), task("pending"), task("pending")];
  assert.equal(secondsLeft(INFOS, faces.map((face, index) => (index > 1 ? task("pending", "", { started_at: null }) : face)), usual, 4), 5);
  assert.equal(secondsLeft(INFOS, DONE, usual, 20), null);
});

test("nothing is guessed where most tasks have no history", () => {
  const pending = INFOS.map(() => task("pending", "", { started_at: null }));
  assert.equal(secondsLeft(INFOS, pending, [2, null, null, null], 0), null);
  assert.equal(secondsLeft(INFOS, pending, [2, 2, 2, null], 0), 6);
});

test("every task comes after those it waits for, whatever the order of the cells", () => {
  assert.deepEqual(inOrder([info("b", [1]), info("a")]), [1, 0]);
});

test("what leads on from a task does not hold the task itself", () => {
  assert.deepEqual([...reach(0, (at) => [[1], [2], [0]][at]!)].sort(), [1, 2]);
});
