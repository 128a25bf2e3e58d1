// @vitest-environment happy-dom
import assert from "node:assert/strict";
import { afterEach, beforeEach, test, vi } from "vitest";

import { sift } from "../src/log";
import { showPanel } from "../src/panel";
import { Store } from "../src/store";
import { controls, delta, info, link, run, snapshot, task, topology } from "./made";

const EVIL = "<img src=x onerror=alert(1)>";
const TASKS = [
  info("load", [], { writes: ["df"], tags: ["io"] }),
  info("fit", [0], { reads: [["df", "load"]], attempts: 3 }),
  info(EVIL, [0]),
  ...["a", "b", "c", "d", "e", "f"].map((name) => info(name, [0], { tags: ["small"] })),
];

beforeEach(() => void vi.useFakeTimers());
afterEach(() => {
  vi.useRealTimers();
  document.body.replaceChildren();
});

function shown() {
  const { way, said } = link();
  const store = new Store(way);
  const place = document.body.appendChild(document.createElement("div"));
  showPanel(place, store);
  store.take(snapshot(1, { topology: topology(...TASKS), parameters: [{ name: "n", annotation: "int", value: "200", help: "rows", is_required: false, kind: "integer", choices: [] }] }));
  const find = (selector: string) => [...place.querySelectorAll<HTMLElement>(selector)];
  const button = (words: string) => find("button").find((each) => each.textContent === words || each.getAttribute("aria-label") === words)!;
  const tab = (name: string) => find("[role=tab]").find((each) => each.textContent === name)!.click();
  return { store, said, place, find, button, tab };
}

const names = (find: (selector: string) => HTMLElement[]) => find("tbody th").map((cell) => cell.textContent);

test("buttons say what they do, and why they cannot", () => {
  const { store, said, button, place } = shown();
  assert.equal(button("Cancel").getAttribute("aria-disabled"), "true");
  assert.equal(button("Cancel").title, "Nothing is running.");
  button("Cancel").click();
  store.take(delta(2, { run: null, controls: controls({ coming: 2 }) }));
  assert.match(place.textContent!, /2 tasks will run/);
  button("Run").click();
  button("Run").click();
  assert.deepEqual(said.filter((message) => message.type !== "hello").map((message) => message.type), ["run"]);
});

test("a form of the parameters sends what was changed, as it was typed, and shows what is wrong at its field", () => {
  const { store, said, find, button } = shown();
  button("n = 200").click();
  const field = find(".orch-form:not(.orch-asked) input")[0] as HTMLInputElement;
  field.value = "many";
  find(".orch-form:not(.orch-asked)")[0]!.dispatchEvent(new Event("submit"));
  assert.deepEqual(said.at(-1), { type: "run", id: 1, select: [], everything: false, values: { n: "many" } });
  store.take({ type: "refused", text: "Parameter 'n' takes int, not 'many'. The notebook takes n: int = 200." });
  assert.equal(field.getAttribute("aria-invalid"), "true");
  assert.equal(field.value, "many");
});

test("what a run waits to be told is a form, sent as it was typed and emptied for the next question", () => {
  const { store, said, find, place } = shown();
  const fields = [
    { name: "ok", annotation: "bool", value: "", help: EVIL, is_required: true, kind: "", choices: ["True", "False"] },
    { name: "day", annotation: "date", value: "2026-01-02", help: "", is_required: false, kind: "date", choices: [] },
  ];
  store.take(delta(2, { run: run("1", false, { is_paused: true }), asked: { run_id: "2", words: `${EVIL} waits.`, fields, until: 9 } }));
  const form = find(".orch-asked")[0]!;
  const [ok, day] = find(".orch-asked .orch-field") as [HTMLSelectElement, HTMLInputElement];
  assert.deepEqual([form.hidden, ok.value, day.type, place.querySelectorAll("img").length], [false, "", "date", 0]);
  ok.value = "True";
  form.dispatchEvent(new Event("submit"));
  assert.deepEqual(said.at(-1), { type: "resume", id: 1, run_id: "2", answer: { ok: "True" } });
  store.take({ type: "refused", text: "Parameter 'ok' takes bool, not 'x'." });
  assert.equal(ok.getAttribute("aria-invalid"), "true");
  store.take(delta(3, { asked: { run_id: "2", words: "again", fields, until: 10 } }));
  assert.equal((find(".orch-asked .orch-field")[0] as HTMLSelectElement).value, "");
  store.take(delta(4));
  assert.equal(form.hidden, true);
});

test("pages that the source does not have are no tabs, and its own words stand where there are no tasks", () => {
  const { store, find, place } = shown();
  store.take(snapshot(2, { topology: { ...topology("a"), pages: ["history"] } }));
  const tabs = find("[role=tab]").filter((tab) => !tab.hidden);
  assert.deepEqual(tabs.map((tab) => tab.textContent), ["Graph", "Timeline", "Tasks", "History"]);
  tabs[0]!.dispatchEvent(new KeyboardEvent("keydown", { key: "End", bubbles: true }));
  assert.equal(tabs[3]!.getAttribute("aria-selected"), "true");
  store.take(snapshot(3, { topology: { ...topology(), hint: "None: write `%%task <b>`." } }));
  assert.equal(find(".orch-empty")[0]!.textContent, "None: write %%task <b>.");
  assert.equal(place.querySelectorAll("b").length, 1);
});

test("the table is sorted and sifted by name, state and tag, and walked with the keyboard", () => {
  const { store, find, tab } = shown();
  tab("Tasks");
  store.take(delta(2, { tasks: { "3": task("failed", "Failed"), "0": task("completed", "Completed") } }));
  const [words, states, tags] = [...find(".orch-tasks input"), ...find(".orch-tasks select")] as HTMLInputElement[];
  const choose = (field: HTMLInputElement, value: string) => {
    field.value = value;
    field.dispatchEvent(new Event("input"));
  };
  choose(tags!, "small");
  assert.deepEqual(names(find), ["a", "b", "c", "d", "e", "f"]);
  choose(states!, "Failed");
  assert.deepEqual(names(find), ["a"]);
  choose(states!, "");
  choose(tags!, "");
  choose(words!, "fi");
  assert.deepEqual(names(find), ["fit"]);
  choose(words!, "");
  find("[data-column=name]")[0]!.click();
  find("[data-column=name]")[0]!.click();
  assert.equal(names(find)[0], "load");
  const row = find("tbody tr")[0]!;
  row.focus();
  row.dispatchEvent(new KeyboardEvent("keydown", { key: "ArrowDown", bubbles: true }));
  assert.equal(document.activeElement?.querySelector("th")?.textContent, "fit");
  document.activeElement!.dispatchEvent(new KeyboardEvent("keydown", { key: "Enter", bubbles: true }));
  assert.equal(store.selectedName, "fit");
});

test("the timeline has a bar for each attempt, the waiting time, and the chain that decided", () => {
  const { store, find, tab } = shown();
  const faces = TASKS.map(() => task("pending", "Pending", { started_at: null }));
  faces[0] = task("completed", "Completed", { started_at: 10, ended_at: 12 });
  faces[1] = task("completed", "Completed", { attempt: 2, started_at: 15, ended_at: 20, tries: [[13, 14, "failed"]] });
  store.take(snapshot(2, { run: run("1", true), tasks: faces }));
  tab("Timeline");
  const bars = find(".orch-chart button");
  assert.deepEqual(bars.map((bar) => bar.getAttribute("aria-label")), [
    "load, Completed, took 2.0 s, critical path",
    "fit, Completed, took 7.0 s, waited 1.0 s though it could begin, 2 attempts, critical path",
  ]);
  assert.equal(find(".orch-chart i.orch-tone-failed").length, 1);
  assert.match(find(".orch-legend")[0]!.textContent!, /critical path: load → fit/);
});

test("the detail shows what the kernel knows, and every text of the person's stays text", () => {
  const { store, find, place } = shown();
  store.select(2);
  store.take({
    type: "detail",
    task: EVIL,
    log: [{ at: 1, level: 20, text: EVIL, attempt: 1 }],
    traceback: [EVIL],
    states: [1, 2].map((at) => ({ at, tone: "running", word: "Running", attempt: 1, message: EVIL })),
    things: [{ name: EVIL, kind: EVIL, text: EVIL, is_artifact: true }],
    waits: [["load", EVIL]],
    coming: 3,
  });
  assert.equal(place.querySelectorAll("img, script").length, 0);
  assert.ok(find(".orch-detail")[0]!.textContent!.split(EVIL).length > 7);
  find(".orch-link")[0]!.click();
  assert.equal(store.selectedName, "load");
});

test("the promote form says who will be told, and what is wrong with that", () => {
  const { store, said, find, tab, place } = shown();
  tab("Promote");
  const form = { name: "", notebook: "a.ipynb", problem: "", zones: [], zone: "UTC", parameters: [], deployments: [], has_worker: true, facts: [["failed", "a run failed"]], said: "" };
  store.take({ type: "answer", id: 1, page: "promote", data: { form }, error: "" });
  const [address, facts] = ["notify", "on"].map((name) => find(`[id$=-${name}]`)[0] as HTMLInputElement);
  assert.equal(facts!.parentElement!.hidden, true);
  address!.value = "ann@example.org";
  address!.dispatchEvent(new Event("input", { bubbles: true }));
  assert.equal(facts!.parentElement!.hidden, false);
  vi.advanceTimersByTime(300);
  const question = (said.at(-1) as { question: Record<string, string> }).question;
  assert.deepEqual([question.do, question.notify, question.on], ["preview", "ann@example.org", "failed, recovered"]);
  const preview = { words: "", due: [], problem: "", notice: "", doubt: `… is no address: write mailto://… ${EVIL}` };
  store.take({ type: "answer", id: 2, page: "promote", data: { preview }, error: "" });
  assert.equal(address!.getAttribute("aria-invalid"), "true");
  assert.match(place.textContent!, /is no address/);
  assert.equal(place.querySelectorAll("img").length, 0);
});

test("a log is sifted by level and by words", () => {
  const line = (level: number, text: string) => ({ at: 0, level, text, attempt: 1 });
  const lines = [line(20, "loaded rows"), line(30, "careful with rows"), line(40, "lost")];
  assert.deepEqual(sift(lines, 30, "").map((each) => each.text), ["careful with rows", "lost"]);
  assert.deepEqual(sift(lines, 0, "ROWS care").map((each) => each.text), ["careful with rows"]);
});

test("of very many tasks the first are drawn, and the others when they are asked for", () => {
  const { store, find, tab } = shown();
  const many = Array.from({ length: 300 }, (_, index) => info(`t${index}`));
  store.take(snapshot(2, { topology: topology(...many) }));
  tab("Tasks");
  assert.equal(find("tbody tr").length, 200);
  find("button").find((each) => each.textContent === "Show more (100 left)")!.click();
  assert.equal(find("tbody tr").length, 300);
});

test("a kernel that has gone is told of, and no button pretends otherwise", () => {
  const { store, button, place } = shown();
  store.link.end();
  assert.match(place.textContent!, /kernel of this panel has ended/);
  assert.equal(button("Run").getAttribute("aria-disabled"), "true");
});

test("an earlier run says which it is and leads back", () => {
  const { store, said, button, place } = shown();
  store.take(snapshot(2, { run: run("0", true, { parameters: [["n", "5"]] }), past: "0" }));
  assert.match(place.textContent!, /An earlier run, of .* with n = 5/);
  button("Back to the latest").click();
  assert.equal(said.at(-1)!.type, "look");
});
