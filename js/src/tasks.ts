// The table of tasks: to sort, to sift, to walk through with the keyboard. Of very many only the first are drawn.

import { button, h, keepKeys, pill, setText } from "./dom";
import { elapsed } from "./format";
import type { Store } from "./store";
import type { View } from "./views";

interface Row {
  row: HTMLTableRowElement;
  state: HTMLElement;
  time: HTMLElement;
  attempt: HTMLElement;
  remark: HTMLElement;
}

type Column = "order" | "name" | "state" | "time" | "attempt";

/** From so many tasks on, what finds one is shown. */
const MANY = 8;
/** So many rows are drawn at first, and so many more each time. */
const DRAWN = 200;
/** Milliseconds between two sortings while states change. */
const PACE = 500;

export class Tasks implements View {
  readonly name = "Tasks";
  readonly element = h("div", { class: "orch-tasks" });
  private rows = new Map<number, Row>();
  private order: number[] = [];
  private most = DRAWN;
  private column: Column = "order";
  private isDown = false;
  private reachable = -1;
  private sortedAt = 0;
  private isDue = false;
  private hasAttempts = false;
  private drawn: unknown = null;
  private readonly body = h("tbody");
  private readonly head = h("tr");
  private readonly words = h("input", { type: "search", class: "orch-field", placeholder: "Find a task", "aria-label": "Find a task by name or remark" });
  private readonly states = h("select", { class: "orch-field", "aria-label": "State" });
  private readonly tags = h("select", { class: "orch-field", "aria-label": "Tag" });
  private readonly found = h("span", { class: "orch-dim", role: "status" });
  private readonly tools = h("div", { class: "orch-sieve" }, this.words, this.states, this.tags, this.found);
  private readonly table = h("table", { role: "grid" }, h("thead", {}, this.head), this.body);
  private readonly more = button("Show more", "orch-quiet", () => {
    this.most += 500;
    this.arrange();
  });

  constructor(private readonly store: Store) {
    for (const field of [this.words, this.states, this.tags]) {
      field.addEventListener("input", () => {
        this.most = DRAWN;
        this.arrange();
      });
      keepKeys(field);
    }
    this.words.addEventListener("keydown", (event) => event.key === "ArrowDown" && this.focus(this.order[0]));
    this.element.append(this.tools, this.table, this.more);
    this.body.addEventListener("click", (event) => {
      const row = (event.target as Element).closest<HTMLElement>("tr[data-task]");
      if (row) this.choose(Number(row.dataset.task));
    });
    this.element.addEventListener("keydown", (event) => this.key(event));
  }

  draw(): void {
    const { topology } = this.store;
    if (topology !== this.drawn) {
      this.drawn = topology;
      this.rows.clear();
      this.most = DRAWN;
      this.hasAttempts = topology?.tasks.some((task) => task.attempts > 1) ?? false;
      this.table.setAttribute("aria-label", `Tasks of ${topology?.flow ?? ""}`);
      const tags = [...new Set(topology?.tasks.flatMap((task) => task.tags))].sort();
      this.fill(this.tags, [["", "All tags"], ...tags.map((tag): [string, string] => [tag, tag])]);
      this.tags.hidden = !tags.length;
      this.tools.hidden = (topology?.tasks.length ?? 0) < MANY;
    }
    this.heads();
    this.arrange();
    this.update(this.order);
  }

  update(indexes: number[]): void {
    for (const index of indexes) this.fillRow(index);
    const depends = this.states.value || this.column === "state" || this.column === "time" || this.column === "attempt";
    if (depends) this.isDue = true;
    if (!this.tools.hidden) this.count();
  }

  tick(): void {
    for (const index of this.rows.keys()) {
      const face = this.store.tasks[index];
      if (face && face.started_at !== null && face.ended_at === null) this.time(index);
    }
    if (this.isDue && Date.now() - this.sortedAt > PACE) this.arrange();
  }

  mark(): void {
    for (const [index, { row }] of this.rows) {
      row.classList.toggle("selected", index === this.store.selected);
      row.setAttribute("aria-selected", String(index === this.store.selected));
      row.tabIndex = index === this.reachable ? 0 : -1;
    }
  }

  private heads(): void {
    const columns: [Column, string, string][] = [["name", "Task", ""], ["state", "State", ""], ["time", "Time", ""]];
    if (this.hasAttempts) columns.push(["attempt", "Attempt", "orch-attempt"]);
    const cells = columns.map(([column, words, kind]) => {
      const sorts = h("button", { type: "button", class: "orch-sort", "data-column": column }, words);
      sorts.addEventListener("click", () => this.sort(column));
      const cell = h("th", { scope: "col", class: kind }, sorts);
      if (this.column === column) cell.setAttribute("aria-sort", this.isDown ? "descending" : "ascending");
      return cell;
    });
    this.head.replaceChildren(...cells, h("th", { scope: "col", class: "orch-remark" }, "Remark"));
  }

  /** Upwards, downwards, and back to the order of the notebook. */
  private sort(column: Column): void {
    if (this.column !== column) [this.column, this.isDown] = [column, false];
    else if (!this.isDown) this.isDown = true;
    else [this.column, this.isDown] = ["order", false];
    this.heads();
    this.arrange();
    this.head.querySelector<HTMLElement>(`[data-column="${column}"]`)?.focus();
  }

  private arrange(): void {
    const { topology, tasks } = this.store;
    this.sortedAt = Date.now();
    this.isDue = false;
    const words = this.words.value.toLowerCase().split(/\s+/).filter(Boolean);
    const fits = (index: number) => {
      const face = tasks[index]!;
      if (this.states.value && face.word !== this.states.value) return false;
      if (this.tags.value && !topology!.tasks[index]!.tags.includes(this.tags.value)) return false;
      const text = words.length ? `${topology!.tasks[index]!.name} ${face.word} ${face.remark}`.toLowerCase() : "";
      return words.every((word) => text.includes(word));
    };
    const now = this.store.now();
    const keys: Record<Column, (index: number) => number | string> = {
      order: (index) => index,
      name: (index) => topology!.tasks[index]!.name.toLowerCase(),
      state: (index) => tasks[index]!.word,
      time: (index) => (tasks[index]!.started_at === null ? -1 : (tasks[index]!.ended_at ?? now) - tasks[index]!.started_at!),
      attempt: (index) => tasks[index]!.attempt,
    };
    const key = keys[this.column];
    const way = this.isDown ? -1 : 1;
    this.order = topology ? tasks.map((_, index) => index).filter((index) => topology.tasks[index] && fits(index)) : [];
    if (this.column !== "order") {
      this.order.sort((one, other) => {
        const [left, right] = [key(one), key(other)];
        return left < right ? -way : left > right ? way : one - other;
      });
    }
    const shown = this.order.slice(0, this.most);
    if (!shown.includes(this.reachable)) this.reachable = shown[0] ?? -1;
    const held = this.body.contains(document.activeElement) ? this.reachable : -1;
    this.body.replaceChildren(...shown.map((index) => this.row(index).row));
    for (const index of [...this.rows.keys()]) if (!this.rows.get(index)!.row.isConnected && index !== held) this.rows.delete(index);
    const left = this.order.length - shown.length;
    this.more.hidden = left <= 0;
    setText(this.more, `Show more (${left} left)`);
    if (!this.tools.hidden) this.count();
    this.mark();
    if (held >= 0) this.rows.get(held)?.row.focus({ preventScroll: true });
  }

  /** How many tasks bear each state, in the choice of states, and how many are shown. */
  private count(): void {
    const counts = new Map<string, number>();
    for (const face of this.store.tasks) if (face.word) counts.set(face.word, (counts.get(face.word) ?? 0) + 1);
    if (this.states.value && !counts.has(this.states.value)) counts.set(this.states.value, 0);
    this.fill(this.states, [["", "All states"], ...[...counts].sort().map(([word, number]): [string, string] => [word, `${word} (${number})`])]);
    const isSifted = this.order.length < this.store.tasks.length;
    setText(this.found, isSifted ? `${this.order.length} of ${this.store.tasks.length}` : "");
  }

  private fill(select: HTMLSelectElement, options: [string, string][]): void {
    const next = JSON.stringify(options);
    if (select.dataset.holds === next) return;
    select.dataset.holds = next;
    const value = select.value;
    select.replaceChildren(...options.map(([name, words]) => h("option", { value: name }, words)));
    select.value = options.some(([name]) => name === value) ? value : "";
  }

  private row(index: number): Row {
    const known = this.rows.get(index);
    if (known) return known;
    const cells = { state: h("td"), time: h("td", { class: "orch-time" }), attempt: h("td", { class: "orch-attempt" }), remark: h("td", { class: "orch-dim orch-remark" }) };
    const row = h("tr", { "data-task": index, tabindex: -1 }, h("th", { scope: "row" }, this.store.topology!.tasks[index]!.name), cells.state, cells.time);
    if (this.hasAttempts) row.append(cells.attempt);
    row.append(cells.remark);
    const made = { row, ...cells };
    this.rows.set(index, made);
    this.fillRow(index);
    return made;
  }

  private fillRow(index: number): void {
    const { topology, tasks } = this.store;
    const row = this.rows.get(index);
    const face = tasks[index];
    if (!topology || !row || !face) return;
    const shown = `${face.tone} ${face.word}`;
    if (row.state.dataset.shown !== shown) {
      row.state.dataset.shown = shown;
      row.state.replaceChildren(...(face.tone ? [pill(topology.shapes, face.tone, face.word)] : []));
    }
    const of = topology.tasks[index]!.attempts;
    setText(row.attempt, face.attempt && of > 1 ? `${face.attempt} of ${Math.max(of, face.attempt)}` : "");
    setText(row.remark, face.remark);
    if (row.remark.title !== face.remark) row.remark.title = face.remark;
    this.time(index);
  }

  private time(index: number): void {
    const face = this.store.tasks[index]!;
    setText(this.rows.get(index)!.time, elapsed(face.started_at, face.ended_at, this.store.now()));
  }

  private choose(index: number): void {
    this.reachable = index;
    this.store.select(index);
  }

  private focus(index: number | undefined): void {
    if (index === undefined) return;
    this.reachable = index;
    this.mark();
    this.rows.get(index)?.row.focus();
  }

  private key(event: KeyboardEvent): void {
    if (event.defaultPrevented) return;
    if (event.key === "/" && !this.tools.hidden && event.target !== this.words) {
      this.words.focus();
    } else {
      const shown = this.order.slice(0, this.most);
      const at = shown.findIndex((index) => this.rows.get(index)?.row === document.activeElement);
      if (at < 0) return;
      const steps: Record<string, number> = { ArrowDown: 1, ArrowUp: -1, PageDown: 10, PageUp: -10, Home: -shown.length, End: shown.length };
      const step = steps[event.key];
      if (step !== undefined) this.focus(shown[Math.min(shown.length - 1, Math.max(0, at + step))]);
      else if (event.key === "Enter" || event.key === " ") this.choose(shown[at]!);
      else return;
    }
    event.preventDefault();
    event.stopPropagation();
  }
}
