import assert from "node:assert/strict";
import { test } from "vitest";

import { type Change, Store } from "../src/store";
import { delta, link, run, snapshot, task, topology } from "./made";

function opened(): { store: Store; asked: () => number; changes: Change[] } {
  const { way, said } = link();
  const store = new Store(way);
  const changes: Change[] = [];
  store.hello();
  store.take(snapshot(1, { topology: topology("load", "plot") }));
  store.listen((change) => changes.push(change));
  return { store, asked: () => said.filter((message) => message.type === "hello").length, changes };
}

test("deltas in order are applied, and only what changed is told", () => {
  const { store, asked, changes } = opened();
  store.take(delta(2, { tasks: { "1": task("running") } }));
  store.take(delta(3, { tasks: { "1": task("completed") } }));
  assert.equal(store.tasks[1]!.tone, "completed");
  assert.deepEqual(changes.at(-1), { kind: "some", tasks: [1], nodes: [] });
  assert.equal(asked(), 1);
});

test("a gap is asked about once and changes nothing until it is answered", () => {
  const { store, asked, changes } = opened();
  store.take(delta(3, { tasks: { "1": task("running") } }));
  store.take(delta(4, { tasks: { "1": task("completed") } }));
  assert.equal(asked(), 2);
  assert.equal(store.tasks[1]!.tone, "");
  assert.deepEqual(changes, []);
  store.take(snapshot(5, { topology: topology("load", "plot"), tasks: [task("completed"), task("completed")] }));
  store.take(delta(6, { tasks: { "0": task("cached") } }));
  assert.equal(store.tasks[0]!.tone, "cached");
  assert.equal(asked(), 2);
});

test("a message that came twice or late is passed over without a question", () => {
  const { store, asked } = opened();
  store.take(delta(2, { tasks: { "0": task("running") } }));
  store.take(delta(2, { tasks: { "0": task("failed") } }));
  store.take(delta(1));
  assert.equal(store.tasks[0]!.tone, "running");
  assert.equal(asked(), 1);
});

test("a snapshot for others is no use to a browser that has no topology", () => {
  const { way, said } = link();
  const store = new Store(way);
  store.take(snapshot(7));
  assert.equal(store.topology, null);
  assert.equal(said.length, 1);
});

test("the first failure is looked at, unless somebody chose a task by hand", () => {
  const { store } = opened();
  store.take(delta(2, { tasks: { "1": task("failed") } }));
  assert.equal(store.selectedName, "plot");
  store.select(0);
  store.take(delta(3, { tasks: { "1": task("crashed") } }));
  assert.equal(store.selectedName, "load");
  store.take(snapshot(4, { run: run("2"), tasks: [task("running"), task("failed")] }));
  assert.equal(store.selectedName, "plot");
});

test("a selected task stays selected when the wiring moves it", () => {
  const { store } = opened();
  store.select(1);
  store.take(snapshot(2, { topology: topology("new", "load", "plot"), tasks: [task(""), task(""), task("")] }));
  assert.equal(store.selected, 2);
});

test("a new run takes an old refusal away", () => {
  const { store } = opened();
  store.take({ type: "refused", text: "A run goes on already." });
  assert.equal(store.refused, "A run goes on already.");
  store.take(snapshot(2, { run: run("2") }));
  assert.equal(store.refused, "");
});

test("time is the kernel's, whatever the browser's clock says", () => {
  const { store } = opened();
  store.take(snapshot(2, { now: 1000 }));
  assert.ok(Math.abs(store.now() - 1000) < 5);
});
