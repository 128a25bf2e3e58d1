// The table of tasks: one row each, made once per topology, its cells updated as states change.

import { h, pill, setText } from "./dom";
import { elapsed } from "./format";
import type { Store } from "./store";

interface Row {
  row: HTMLTableRowElement;
  state: HTMLElement;
  time: HTMLElement;
  attempt: HTMLElement;
  remark: HTMLElement;
}

/** From so many tasks on, a field to find one is shown. */
const MANY = 15;

export class Tasks {
  readonly element = h("div", { class: "orch-tasks" });
  private rows: Row[] = [];
  private body = h("tbody");
  private reachable = 0;
  private readonly filter = h("input", {
    type: "search",
    class: "orch-filter",
    placeholder: "Find a task or a state",
    "aria-label": "Find a task or a state",
  });

  constructor(private readonly store: Store) {
    this.filter.addEventListener("input", () => this.sift());
    // Jupyter takes single letters for commands.
    this.filter.addEventListener("keydown", (event) => event.stopPropagation());
    this.element.addEventListener("click", (event) => {
      const row = (event.target as Element).closest("tr[data-task]");
      if (row) this.choose(Number(row.getAttribute("data-task")));
    });
    this.element.addEventListener("keydown", (event) => this.key(event));
  }

  draw(): void {
    const { topology } = this.store;
    this.rows = [];
    this.reachable = 0;
    this.body = h("tbody");
    const attempts = topology?.tasks.some((task) => task.attempts > 1) ?? false;
    topology?.tasks.forEach((task, index) => {
      const cells = { state: h("td"), time: h("td", { class: "orch-time" }), attempt: h("td", { class: "orch-attempt" }), remark: h("td", { class: "orch-dim orch-remark" }) };
      const row = h("tr", { "data-task": index, tabindex: index ? -1 : 0 }, h("th", { scope: "row" }, task.name), cells.state, cells.time);
      if (attempts) row.append(cells.attempt);
      row.append(cells.remark);
      this.body.append(row);
      this.rows.push({ row, ...cells });
    });
    const head = (name: string, kind = "") => h("th", { scope: "col", class: kind }, name);
    const heads = [head("Task"), head("State"), head("Time"), attempts && head("Attempt", "orch-attempt")];
    const table = h(
      "table",
      { role: "grid", "aria-label": `Tasks of ${topology?.flow ?? ""}` },
      h("thead", {}, h("tr", {}, ...heads, head("Remark", "orch-remark"))),
      this.body,
    );
    this.element.replaceChildren(...(this.rows.length > MANY ? [this.filter] : []), table);
    this.update(this.rows.map((_, index) => index));
    this.mark();
  }

  update(indexes: number[]): void {
    const { topology, tasks } = this.store;
    if (!topology) return;
    for (const index of indexes) {
      const row = this.rows[index];
      const face = tasks[index];
      if (!row || !face) continue;
      row.state.replaceChildren(...(face.tone ? [pill(topology.shapes, face.tone, face.word)] : []));
      const of = topology.tasks[index]!.attempts;
      setText(row.attempt, face.attempt && of > 1 ? `${face.attempt} of ${Math.max(of, face.attempt)}` : "");
      setText(row.remark, face.remark);
      this.time(index);
    }
    if (this.filter.value) this.sift();
  }

  tick(): void {
    this.store.tasks.forEach((face, index) => {
      if (face.started_at !== null && face.ended_at === null) this.time(index);
    });
  }

  mark(): void {
    this.rows.forEach(({ row }, index) => {
      row.classList.toggle("selected", index === this.store.selected);
      row.setAttribute("aria-selected", String(index === this.store.selected));
      row.setAttribute("tabindex", index === this.reachable ? "0" : "-1");
    });
  }

  private time(index: number): void {
    const face = this.store.tasks[index]!;
    setText(this.rows[index]!.time, elapsed(face.started_at, face.ended_at, this.store.now()));
  }

  private sift(): void {
    const words = this.filter.value.toLowerCase().split(/\s+/).filter(Boolean);
    this.rows.forEach(({ row }, index) => {
      const text = `${this.store.topology?.tasks[index]?.name} ${this.store.tasks[index]?.word}`.toLowerCase();
      row.hidden = !words.every((word) => text.includes(word));
    });
  }

  private choose(index: number): void {
    this.reachable = index;
    this.store.select(index);
  }

  private key(event: KeyboardEvent): void {
    const at = this.rows.findIndex(({ row }) => row === document.activeElement);
    if (at < 0) return;
    if (event.key === "ArrowDown" || event.key === "ArrowUp") {
      const step = event.key === "ArrowDown" ? 1 : -1;
      let next = at + step;
      while (this.rows[next]?.row.hidden) next += step;
      if (!this.rows[next]) return;
      this.reachable = next;
      this.mark();
      this.rows[next]!.row.focus();
    } else if (event.key === "Enter" || event.key === " ") this.choose(at);
    else return;
    event.preventDefault();
    event.stopPropagation();
  }
}
