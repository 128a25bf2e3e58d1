// @vitest-environment happy-dom
// What a page that was loaded again is told about its cells.

import assert from "node:assert/strict";
import { test, vi } from "vitest";

import type { CellOutputs } from "../src/messages";
import make, { restore, type Cell } from "../src/restore";

const badge = (words: string) => ({ output_type: "display_data", metadata: { orch_notebook: { task: "load" } }, data: { "text/html": words } });
const summary = (words: string) => ({ output_type: "display_data", metadata: { orch_notebook: { run_id: "1" } }, data: { "text/html": words } });
const print = (text: string) => ({ output_type: "stream", name: "stdout", text });

/** A cell as JupyterLab has it, and how often its outputs were drawn anew. */
function cell(source: string, ...outputs: object[]): Cell & { shown: object[]; all: number; one: number } {
  const made = {
    id: "a",
    shown: outputs,
    all: 0,
    one: 0,
    sharedModel: { getSource: () => source },
    outputs: {
      toJSON: () => made.shown,
      fromJSON: (next: object[]) => ((made.shown = next), made.all++),
      set: (index: number, next: object) => ((made.shown[index] = next), made.one++),
    },
  };
  return made;
}

const told = (mark: string, ...outputs: object[]): CellOutputs => ({ cell: "a", page: "earlier", mark, outputs });

const CASES: [string, string, object[], CellOutputs, object[], [number, number]][] = [
  ["a badge alone", "%%task load\n1", [badge("Running")], told("task", badge("Completed")), [badge("Completed")], [0, 1]],
  ["a badge above the same outputs", "%%task load", [badge("Running"), print("a")], told("task", badge("Completed"), print("a")), [badge("Completed"), print("a")], [0, 1]],
  ["outputs that were never saved", "%%task load", [], told("task", badge("Completed"), print("a")), [badge("Completed"), print("a")], [1, 0]],
  ["outputs of an earlier run", "%%task load", [badge("Running"), print("a")], told("task", badge("Completed"), print("b")), [badge("Completed"), print("b")], [1, 0]],
  ["a cell that is no task any more", "1 + 1", [print("2")], told("task", badge("Completed")), [print("2")], [0, 0]],
  ["a summary beside other outputs", "%flow run\nprint(1)", [summary("Running"), print("1")], told("run_id", summary("Completed")), [summary("Completed"), print("1")], [0, 1]],
  ["a summary that was never saved", "%flow run", [print("1")], told("run_id", summary("Completed")), [summary("Completed"), print("1")], [1, 0]],
  ["a cell that starts no run any more", "print(1)", [print("1")], told("run_id", summary("Completed")), [print("1")], [0, 0]],
];

for (const [what, source, present, message, expected, [all, one]] of CASES) {
  test(`${what} is brought up to date`, () => {
    const made = cell(source, ...present);
    restore([{ ...made, id: "other" }, made], message);
    assert.deepEqual([made.shown, made.all, made.one], [expected, all, one]);
  });
}

test("marks are hidden while the kernel lives, and tell when it has ended", () => {
  const made = cell("%%task load", badge("Running"));
  const hearers: Record<string, (message: never) => void> = {};
  const send = vi.fn();
  const widget_manager = { kernel: { clientId: "now" }, context: { model: { cells: [made] } } };
  const sheet = () => document.head.querySelector("style")?.textContent ?? "";
  make().initialize({ model: { widget_manager, send, on: (name, hear) => void (hearers[name] = hear as never), off: () => {} } });
  assert.deepEqual(send.mock.calls, [[{ type: "hello", page: "now" }]]);
  hearers["msg:custom"]!({ type: "restore", kernel: "k1", cells: [told("task", badge("Completed")), { ...told("task", badge("no")), page: "now" }] } as never);
  assert.deepEqual(made.shown, [badge("Completed")]);
  assert.match(sheet(), /k1.*none/);
  hearers["comm_live_update"]!(undefined as never);
  assert.match(sheet(), /k1.*has ended/);
  // It was only the connection: the kernel answers.
  assert.equal(send.mock.calls.length, 2);
  hearers["msg:custom"]!({ type: "restore", kernel: "k1", cells: [] } as never);
  assert.match(sheet(), /k1.*none/);
});
