// The selected task: where it stands, what it takes in and leaves, its traceback and the end of its log.

import { h, pill, setText } from "./dom";
import { elapsed, timeOfDay } from "./format";
import type { FromBrowser } from "./messages";
import type { Store } from "./store";

export class DetailView {
  readonly element = h("section", { class: "orch-detail", "aria-label": "Selected task" });
  private readonly title = h("div", { class: "orch-title" });
  private readonly facts = h("dl", { class: "orch-facts" });
  private readonly log = h("div", { class: "orch-log", tabindex: 0, role: "log", "aria-live": "off", "aria-label": "Log" });
  private readonly hint = h("div", { class: "orch-dim" });
  private readonly again: HTMLButtonElement;
  private time: Element | null = null;

  constructor(
    private readonly store: Store,
    send: (message: FromBrowser) => void,
  ) {
    this.again = h("button", { type: "button", class: "orch-button orch-quiet" }, "Run from here");
    this.again.title = "Run this task and what depends on it";
    this.again.addEventListener("click", () => {
      store.dismiss();
      send({ type: "run", select: [`${store.selectedName}+`], everything: false });
    });
    this.log.addEventListener("keydown", (event) => event.stopPropagation());
    this.element.append(this.title, this.facts, this.log, this.hint);
  }

  update(): void {
    const { topology, selected } = this.store;
    const task = topology?.tasks[selected];
    const face = this.store.tasks[selected];
    this.title.replaceChildren();
    this.facts.replaceChildren();
    this.time = null;
    this.log.hidden = true;
    if (!topology || !task || !face) {
      setText(this.hint, topology?.tasks.length ? "Select a task to see what it reads and writes, and its log." : "");
      return;
    }
    this.title.append(h("b", {}, task.name));
    if (face.tone) {
      const time = h("span", { class: "orch-dim" });
      this.title.append(pill(topology.shapes, face.tone, face.word), time);
      this.time = time;
    }
    this.again.disabled = this.store.run !== null && !this.store.run.is_final;
    this.title.append(h("span", { class: "orch-grow" }), this.again);
    this.fact("reads", sources(task.reads));
    this.fact("writes", task.writes.map((name) => chip(name)));
    this.fact("mutates", task.mutates.map((name) => chip(name)));
    this.fact("attempt", face.attempt && task.attempts > 1 ? [`${face.attempt} of ${Math.max(task.attempts, face.attempt)}`] : []);
    this.fact("cell", task.cell ? [String(task.cell)] : []);
    this.fact("barrier", task.opaque ? [task.opaque] : []);
    this.fact("remark", face.remark ? [face.remark] : []);
    this.tick();
    this.lines();
  }

  tick(): void {
    const face = this.store.tasks[this.store.selected];
    if (this.time && face) setText(this.time, elapsed(face.started_at, face.ended_at, this.store.now()));
  }

  /** Shows the log's end and the traceback, keeping the reader's place unless it is the end. */
  lines(): void {
    const { detail, selectedName } = this.store;
    const mine = detail && detail.task === selectedName ? detail : null;
    const atEnd = this.log.hidden || this.log.scrollHeight - this.log.scrollTop - this.log.clientHeight < 24;
    const rows = (mine?.log ?? []).map((line) => {
      const kind = line.level >= 40 ? "orch-error" : line.level >= 30 ? "orch-warning" : "";
      return h("div", kind ? { class: kind } : {}, h("span", { class: "orch-dim" }, timeOfDay(line.at)), " ", line.text);
    });
    const traceback = (mine?.traceback ?? []).map((line, index, all) =>
      h("div", index === all.length - 1 ? { class: "orch-error" } : {}, line || " "),
    );
    if (rows.length && traceback.length) rows.push(h("div", { class: "orch-rule" }));
    this.log.replaceChildren(...rows, ...traceback);
    this.log.hidden = !this.log.childElementCount;
    if (atEnd) this.log.scrollTop = this.log.scrollHeight;
    setText(this.hint, this.log.hidden && mine ? "It has written no log." : "");
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
