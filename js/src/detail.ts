// The selected task: where it stands and stood, what it takes in and leaves, its traceback, its log.

import { allow, button, h, pill, setText, shape } from "./dom";
import { goToCell } from "./cells";
import { duration, elapsed, timeOfDay } from "./format";
import { Log } from "./log";
import type { Detail, StateLine, Thing } from "./messages";
import type { Store } from "./store";

export class DetailView {
  readonly element = h("section", { class: "orch-detail", "aria-label": "Selected task" });
  private readonly title = h("div", { class: "orch-title" });
  private readonly buttons: HTMLElement;
  private readonly group = h("select", { class: "orch-field", "aria-label": "Task of this group", hidden: true });
  private readonly facts = h("dl", { class: "orch-facts" });
  private readonly failure = h("div", { class: "orch-log orch-failure", tabindex: 0, role: "group", "aria-label": "Traceback" });
  private readonly log = new Log();
  private readonly things = h("div", { class: "orch-things" });
  private readonly states = h("details", { class: "orch-states" });
  private readonly hint = h("div", { class: "orch-dim" });
  private readonly one: HTMLButtonElement;
  private readonly on: HTMLButtonElement;
  private readonly cell: HTMLButtonElement;
  private time: Element | null = null;
  private shown = "";

  constructor(private readonly store: Store) {
    const run = (select: string) => {
      store.dismiss();
      store.link.say({ type: "run", select: [select], everything: false, values: {} });
    };
    this.one = button("Run this", "", () => run(store.selectedName));
    this.on = button("Run from here", "", () => run(`${store.selectedName}+`));
    this.cell = button("Go to cell", "orch-quiet", () => void this.go());
    this.buttons = h("div", { class: "orch-buttons" }, this.one, this.on, this.cell);
    this.failure.addEventListener("keydown", (event) => event.stopPropagation());
    this.group.addEventListener("input", () => store.select(Number(this.group.value)));
    this.element.append(this.title, this.group, this.buttons, this.facts, this.failure, this.log.element, this.things, this.states, this.hint);
  }

  update(): void {
    const { topology, selected } = this.store;
    const task = topology?.tasks[selected];
    const face = this.store.tasks[selected];
    this.time = null;
    if (!topology || !task || !face) {
      for (const part of [this.title, this.facts, this.failure, this.things, this.states]) part.replaceChildren();
      for (const part of [this.buttons, this.group, this.log.element, this.failure, this.states]) part.hidden = true;
      setText(this.hint, topology?.tasks.length ? "Select a task to see what it reads and writes, what it left, and its log." : "");
      return;
    }
    this.title.replaceChildren(h("b", {}, task.name));
    if (face.tone) {
      const time = h("span", { class: "orch-dim" });
      this.title.append(pill(topology.shapes, face.tone, face.word), time);
      this.time = time;
    }
    this.members();
    const { controls, link } = this.store;
    const why = link.silence === "gone" ? "The kernel of this panel has ended." : controls.part;
    const coming = this.store.detail?.coming;
    allow(this.one, why, coming ? `Run this task and what is stale of what it needs: ${coming} task${coming === 1 ? "" : "s"}` : "Run this task, and what is stale of what it needs");
    allow(this.on, why, "Run this task and what depends on it");
    allow(this.cell, "", "Show the cell of this task");
    this.buttons.hidden = false;
    this.describe();
    this.tick();
    this.more();
  }

  tick(): void {
    const face = this.store.tasks[this.store.selected];
    if (this.time && face) setText(this.time, elapsed(face.started_at, face.ended_at, this.store.now()));
  }

  /** Shows what the kernel has told of the task. */
  more(): void {
    const { detail, selectedName, tasks, selected } = this.store;
    const mine = detail && detail.task === selectedName ? detail : null;
    const traceback = mine?.traceback ?? [];
    this.failure.replaceChildren(
      ...traceback.map((line, index) => h("div", index === traceback.length - 1 || /^-+>/.test(line.trim()) ? { class: "orch-error" } : {}, line || " ")),
    );
    this.failure.hidden = !traceback.length;
    const began = (tasks[selected]?.attempt ?? 0) > 0;
    this.log.element.hidden = !mine || (!began && !mine.log.length);
    if (mine) this.log.show(mine.log, "It has written no log.");
    this.left(mine?.things ?? []);
    this.history(mine);
    if (mine) this.describe();
    setText(this.hint, "");
  }

  private describe(): void {
    const { topology, selected, detail, selectedName, usual } = this.store;
    const task = topology!.tasks[selected]!;
    const face = this.store.tasks[selected]!;
    const mine = detail?.task === selectedName ? detail : null;
    const next = JSON.stringify([task, face.attempt, face.remark, mine?.waits, mine?.traceback.length, usual[selected]]);
    if (next === this.shown && this.facts.childElementCount) return;
    this.shown = next;
    this.facts.replaceChildren();
    this.fact("reads", sources(task.reads));
    this.fact("writes", task.writes.map((name) => chip(name)));
    this.fact("mutates", task.mutates.map((name) => chip(name)));
    this.fact("waits for", (mine?.waits ?? []).map(([name, reason]) => this.link(name, reason)));
    const after = this.store.after[selected] ?? [];
    this.fact("then", after.slice(0, 8).map((index) => this.link(topology!.tasks[index]!.name, "")));
    this.fact("attempt", face.attempt && task.attempts > 1 ? [`${face.attempt} of ${Math.max(task.attempts, face.attempt)}`] : []);
    const seconds = usual[selected];
    this.fact("usually", seconds != null ? [duration(seconds)] : []);
    this.fact("tags", task.tags.map((name) => chip(name)));
    this.fact("barrier", task.opaque ? [task.opaque] : []);
    // What a traceback ends with is not said twice.
    this.fact("remark", face.remark && !mine?.traceback.length ? [face.remark] : []);
  }

  /** Of a node that stands for several tasks: which of them. */
  private members(): void {
    const { topology, selected } = this.store;
    const members = topology!.nodes.find((numbers) => numbers.includes(selected)) ?? [];
    this.group.hidden = members.length < 2;
    if (this.group.hidden) return;
    const next = members.join();
    if (this.group.dataset.holds !== next) {
      this.group.dataset.holds = next;
      this.group.replaceChildren(...members.map((index) => h("option", { value: index }, topology!.tasks[index]!.name)));
    }
    this.group.value = String(selected);
  }

  private left(things: Thing[]): void {
    const made = things.map((thing) => {
      const title = h("div", {}, chip(thing.name), " ", h("span", { class: "orch-dim" }, thing.kind));
      const isText = thing.is_artifact && thing.text.startsWith("http");
      const body = isText ? h("a", { href: thing.text, target: "_blank", rel: "noopener noreferrer" }, thing.text) : h("pre", { class: "orch-log", tabindex: 0, "aria-label": thing.name }, thing.text);
      return h("div", { class: "orch-thing" }, title, thing.text ? body : null);
    });
    this.things.replaceChildren(...(made.length ? [h("h4", {}, "Left behind"), ...made] : []));
  }

  private history(detail: Detail | null): void {
    const lines = detail?.states ?? [];
    this.states.hidden = lines.length < 2;
    const { shapes } = this.store.topology!;
    const row = (line: StateLine) =>
      h(
        "li",
        { class: `orch-tone-${line.tone}` },
        h("span", { class: "orch-dim" }, timeOfDay(line.at)),
        h("span", { class: "orch-ink" }, shape(shapes[line.tone] ?? "", line.tone), line.word),
        line.attempt > 1 ? h("span", { class: "orch-dim" }, `attempt ${line.attempt}`) : null,
        line.message ? h("span", { class: "orch-dim" }, line.message) : null,
      );
    this.states.replaceChildren(h("summary", {}, `History: ${lines.length} states`), h("ol", {}, ...lines.map(row)));
  }

  /** A task one can go to, with the reason to wait for it. */
  private link(name: string, reason: string): HTMLElement {
    const go = button(name, "orch-link", () => {
      const index = this.store.topology!.tasks.findIndex((task) => task.name === name);
      if (index >= 0) this.store.select(index);
    });
    return h("span", { class: "orch-source" }, go, reason ? h("span", { class: "orch-dim" }, ` ${reason}`) : null);
  }

  private async go(): Promise<void> {
    if (!(await goToCell(this.store.selectedName, this.element))) allow(this.cell, "The cell of this task is not on this page.");
  }

  private fact(name: string, values: (Node | string)[]): void {
    if (!values.length) return;
    this.facts.append(h("dt", {}, name), h("dd", {}, ...values.flatMap((value) => [value, " "])));
  }
}

function chip(name: string): HTMLElement {
  return h("code", { class: "orch-chip" }, name);
}

/** The names a task takes in, those of one origin together. */
function sources(reads: [string, string][]): (Node | string)[] {
  const from = new Map<string, string[]>();
  for (const [name, origin] of reads) from.set(origin, [...(from.get(origin) ?? []), name]);
  return [...from].map(([origin, names]) =>
    h(
      "span",
      { class: "orch-source" },
      ...names.flatMap((name) => [chip(name), " "]),
      h("span", { class: "orch-dim" }, `from ${origin || "the notebook"}`),
    ),
  );
}
