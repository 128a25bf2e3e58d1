// Recent runs against the tasks: where each ended and how long it took. A run opens in the other views; two can be
// compared.

import { button, h, setText, shape } from "./dom";
import { dayAndTime, duration, timeOfDay } from "./format";
import type { ComparedLine, History as Grid, PastRun } from "./messages";
import { inWords } from "./parameters";
import type { Store } from "./store";
import type { View } from "./views";

export class History implements View {
  readonly name = "History";
  readonly element: HTMLElement;
  private readonly grid = h("div", { class: "orch-grid" });
  private readonly left = h("select", { class: "orch-field", "aria-label": "First run" });
  private readonly right = h("select", { class: "orch-field", "aria-label": "Second run" });
  private readonly chooser: HTMLElement;
  private readonly result = h("div", { class: "orch-compared" });
  private readonly hint = h("p", { class: "orch-dim" });
  private data: Grid | null = null;
  private askedFor = "";

  constructor(
    private readonly store: Store,
    private readonly open: () => void,
  ) {
    this.chooser = h("div", { class: "orch-sieve", hidden: true }, "Compare", this.left, "with", this.right, button("Compare", "", () => this.compare()));
    this.element = h("div", { class: "orch-history" }, this.hint, this.grid, this.chooser, this.result);
    this.grid.addEventListener("keydown", (event) => this.key(event));
  }

  draw(): void {
    const { run } = this.store;
    const wanted = `${run?.run_id} ${run?.is_final}`;
    if (wanted !== this.askedFor) {
      this.askedFor = wanted;
      this.ask({ grid: true });
    }
    this.mark();
  }

  update(): void {
    this.draw();
  }

  tick(): void {}

  mark(): void {
    const shown = this.store.past || this.store.run?.run_id;
    for (const cell of this.grid.querySelectorAll<HTMLElement>("[data-run]")) cell.classList.toggle("selected", cell.dataset.run === shown);
  }

  answer(data: unknown, error: string): void {
    const { grid, lines } = (data ?? {}) as { grid?: Grid; lines?: ComparedLine[] };
    if (error) setText(this.hint, error);
    else if (grid) this.show(grid);
    else if (lines) this.tell(lines);
  }

  private ask(question: object): void {
    this.store.link.say({ type: "ask", page: "history", question });
  }

  private show(grid: Grid): void {
    this.data = grid;
    setText(this.hint, grid.runs.length ? "" : "No run yet. Every run of this flow will stand here, those of workers too.");
    this.hint.hidden = !this.hint.textContent;
    this.chooser.hidden = grid.runs.length < 2;
    this.choices();
    const runs = [...grid.runs].reverse();
    const longest = Math.max(...runs.map((run) => run.seconds ?? 0), 0.001);
    const head = h("tr", {}, h("td"), ...runs.map((run) => h("th", { scope: "col" }, this.column(run, longest))));
    const rows = grid.rows.map((name, row) => h("tr", {}, h("th", { scope: "row" }, name), ...runs.map((run) => h("td", {}, this.cell(run, row, name)))));
    const table = h("table", { class: "orch-runs", "aria-label": "Recent runs and their tasks" }, h("thead", {}, head), h("tbody", {}, ...rows));
    this.grid.replaceChildren(...(runs.length ? [table] : []), ...(grid.left ? [h("p", { class: "orch-dim" }, `and ${grid.left} more tasks`)] : []));
    const buttons = this.grid.querySelectorAll<HTMLElement>("button");
    buttons.forEach((each, index) => (each.tabIndex = index === runs.length - 1 ? 0 : -1));
    // The newest run is the one people come for.
    this.grid.scrollLeft = this.grid.scrollWidth;
    this.mark();
  }

  /** A run: its length as a bar, its end as a colour and a shape, its day or its time. */
  private column(run: PastRun, longest: number): HTMLElement {
    const words = [dayAndTime(run.at), run.word, run.seconds === null ? "" : duration(run.seconds), run.deployment, inWords(run.parameters)].filter(Boolean).join(" · ");
    const bar = h("i", { class: "orch-length" });
    bar.style.height = `${Math.max(3, (36 * (run.seconds ?? 0)) / longest)}px`;
    const isToday = new Date(run.at * 1000).toDateString() === new Date().toDateString();
    const day = new Date(run.at * 1000);
    const when = isToday ? timeOfDay(run.at).slice(0, 5) : `${day.getDate()}/${day.getMonth() + 1}`;
    const made = h("button", { type: "button", class: `orch-run orch-tone-${run.tone}`, "data-run": run.run_id, title: words, "aria-label": `${when}: open the run of ${words}` }, h("span", { class: "orch-lengths" }, bar), this.mini(run.tone), h("span", { class: "orch-dim" }, when));
    made.addEventListener("click", () => this.go(run, ""));
    return made;
  }

  private cell(run: PastRun, row: number, name: string): HTMLElement | string {
    const found = run.tasks[row];
    if (!found) return "";
    const [tone, word, seconds] = found;
    const words = `${name}: ${word}${seconds === null ? "" : ` ${duration(seconds)}`}`;
    const made = h("button", { type: "button", class: `orch-cell orch-tone-${tone}`, title: words, "aria-label": `${words}, run of ${dayAndTime(run.at)}` }, this.mini(tone));
    made.addEventListener("click", () => this.go(run, name));
    return made;
  }

  private mini(tone: string): SVGSVGElement {
    return shape(this.store.topology?.shapes[tone] ?? "", tone);
  }

  private go(run: PastRun, task: string): void {
    const isLatest = this.data?.runs[0]?.run_id === run.run_id;
    this.store.lookAt(isLatest ? "" : run.run_id, task);
    this.open();
  }

  private choices(): void {
    const runs = this.data?.runs ?? [];
    for (const [select, usual] of [[this.left, runs[1]], [this.right, runs[0]]] as const) {
      const value = select.value;
      select.replaceChildren(...runs.map((run) => h("option", { value: run.run_id }, `${dayAndTime(run.at)} ${run.word}`)));
      select.value = runs.some((run) => run.run_id === value) ? value : (usual?.run_id ?? "");
    }
  }

  private compare(): void {
    this.result.replaceChildren(h("p", { class: "orch-dim" }, "Comparing…"));
    this.ask({ left: this.left.value, right: this.right.value });
  }

  private tell(lines: ComparedLine[]): void {
    const differing = lines.filter((line) => !line.is_same);
    const row = (line: ComparedLine) => h("tr", {}, h("th", { scope: "row" }, line.name, " ", h("span", { class: "orch-dim" }, line.kind)), h("td", {}, line.left || "–"), h("td", {}, line.right || "–"));
    const head = h("tr", {}, ...["What differs", "First", "Second"].map((words) => h("th", { scope: "col" }, words)));
    const same = lines.length - differing.length;
    this.result.replaceChildren(
      ...(differing.length ? [h("table", { "aria-label": "What differs" }, h("thead", {}, head), h("tbody", {}, ...differing.slice(0, 300).map(row)))] : []),
      h("p", { class: "orch-dim", role: "status" }, differing.length ? `${same} more are the same.` : "Nothing differs."),
    );
  }

  private key(event: KeyboardEvent): void {
    const at = (event.target as HTMLElement).closest("td, th") as HTMLTableCellElement | null;
    const row = at?.parentElement as HTMLTableRowElement | undefined;
    if (!at || !row) return;
    const steps: Record<string, [number, number]> = { ArrowLeft: [-1, 0], ArrowRight: [1, 0], ArrowUp: [0, -1], ArrowDown: [0, 1] };
    const step = steps[event.key];
    if (step) {
      const table = row.closest("table")!;
      const next = table.rows[row.rowIndex + step[1]]?.cells[at.cellIndex + step[0]]?.querySelector<HTMLElement>("button");
      if (next) {
        for (const each of table.querySelectorAll<HTMLElement>("button")) each.tabIndex = -1;
        next.tabIndex = 0;
        next.focus();
      }
      event.preventDefault();
    }
    if (step || event.key === "Enter" || event.key === " ") event.stopPropagation();
  }
}
