import assert from "node:assert/strict";
import { beforeEach, afterEach, test, vi } from "vitest";

import { silenceWords } from "../src/link";
import { link, snapshot } from "./made";

beforeEach(() => void vi.useFakeTimers());
afterEach(() => void vi.useRealTimers());

test("a kernel that hears a click is not called busy", () => {
  const { way } = link();
  const id = way.say({ type: "cancel", run_id: "1" });
  way.take({ type: "heard", id });
  vi.advanceTimersByTime(1000);
  assert.equal(way.silence, "");
});

test("a kernel that does not hear is busy until it does", () => {
  const { way } = link();
  const told: string[] = [];
  way.listen((silence) => told.push(silence));
  way.say({ type: "pause" });
  const id = way.say({ type: "cancel", run_id: "1" });
  assert.ok(way.waits("cancel"));
  vi.advanceTimersByTime(1000);
  assert.match(silenceWords(way.silence, false), /busy with a cell/);
  way.take({ type: "heard", id });
  assert.deepEqual(told, ["busy", ""]);
  assert.ok(!way.waits("pause"));
});

test("what the panel says of its own accord makes no kernel busy", () => {
  const { way } = link();
  way.say({ type: "hello" });
  vi.advanceTimersByTime(1000);
  assert.equal(way.silence, "");
});

test("a run of which nobody tells any more may be out of date, until somebody does", () => {
  let now = 0;
  const { way } = link(() => now);
  now = 30;
  way.watch(false);
  assert.equal(way.silence, "");
  way.watch(true);
  assert.equal(way.silence, "lost");
  way.take(snapshot(1));
  assert.equal(way.silence, "");
});

test("a kernel that has ended stays so, whatever arrives late", () => {
  const { way } = link();
  way.end();
  way.take(snapshot(1));
  assert.equal(way.silence, "gone");
});
