// When each task ran: a row for each, or lanes where there are many; attempts one after the other, the time it waited
// though it could have begun, and the chain of tasks that made the run as long as it was.

import { h } from "./dom";
import { duration } from "./format";
import { criticalPath, firstStart, lanes, readyAt } from "./plan";
import type { Store } from "./store";
import type { View } from "./views";

/** From so many tasks on they share lanes: nobody reads a thousand rows. */
const MANY = 60;
/** Milliseconds between two drawings while a run goes on. */
const PACE = 250;

interface Span {
  task: number;
  ready: number;
  from: number;
  to: number;
}

export class Timeline implements View {
  readonly name = "Timeline";
  readonly element: HTMLElement;
  private readonly axis = h("div", { class: "orch-axis", "aria-hidden": "true" });
  private readonly chart = h("div", { class: "orch-chart", role: "list", "aria-label": "Tasks in the order in which they began" });
  private readonly legend = h("div", { class: "orch-legend orch-dim" });
  private reachable = -1;
  private drawnAt = 0;
  private isDue = false;

  constructor(private readonly store: Store) {
    this.element = h("div", { class: "orch-timeline" }, this.axis, this.chart, this.legend);
    this.chart.addEventListener("click", (event) => {
      const bar = (event.target as Element).closest<HTMLElement>("[data-task]");
      if (bar) this.choose(Number(bar.dataset.task));
    });
    this.chart.addEventListener("keydown", (event) => this.key(event));
  }

  draw(): void {
    this.drawnAt = Date.now();
    this.isDue = false;
    const { topology, run, tasks } = this.store;
    const began = run?.started_at ?? null;
    const now = run?.ended_at ?? this.store.now();
    const spans = topology && began !== null ? this.spans(began, now) : [];
    this.axis.hidden = !spans.length;
    if (!topology || began === null || !spans.length) {
      this.chart.replaceChildren(h("p", { class: "orch-dim", role: "listitem" }, run ? "No task has begun yet." : "After a run this shows when each task ran, and what it waited for."));
      this.legend.replaceChildren();
      return;
    }
    const first = Math.min(began, ...spans.map((span) => span.from));
    const length = Math.max(0.001, now - first);
    const critical = criticalPath(topology.tasks, tasks, now);
    const place = (at: number) => (100 * (at - first)) / length;
    const rows = spans.length > MANY ? lanes(spans.map((span) => [span.from, span.to])) : spans.map((_, index) => index);
    const drawn: HTMLElement[] = [];
    spans.forEach((span, index) => {
      const lane = rows[index]!;
      // In a lane the time one task waited is the time another ran.
      const bars = this.bars(span, place, critical.has(span.task)).filter((bar) => spans.length <= MANY || !bar.classList.contains("orch-wait"));
      if (!drawn[lane]) {
        const label = spans.length > MANY ? "" : topology.tasks[span.task]!.name;
        drawn[lane] = h("div", { class: "orch-lane", role: "listitem" }, h("span", { class: "orch-lane-name" }, label), h("span", { class: "orch-track" }));
      }
      drawn[lane]!.lastElementChild!.append(...bars);
    });
    const held = this.chart.contains(document.activeElement);
    if (!spans.some((span) => span.task === this.reachable)) this.reachable = spans[0]!.task;
    this.chart.replaceChildren(...drawn.filter(Boolean));
    this.chart.classList.toggle("orch-lanes", spans.length > MANY);
    this.ticks(length);
    this.describe(critical, spans.length, drawn.length);
    this.mark();
    if (held) this.bar(this.reachable)?.focus({ preventScroll: true });
  }

  update(): void {
    this.isDue = true;
    if (Date.now() - this.drawnAt >= PACE) this.draw();
  }

  tick(): void {
    if (this.isDue || Date.now() - this.drawnAt >= 1000) this.draw();
  }

  mark(): void {
    for (const bar of this.chart.querySelectorAll<HTMLElement>("button[data-task]")) {
      const index = Number(bar.dataset.task);
      bar.classList.toggle("selected", index === this.store.selected);
      bar.setAttribute("aria-pressed", String(index === this.store.selected));
      bar.tabIndex = index === this.reachable ? 0 : -1;
    }
  }

  private spans(began: number, now: number): Span[] {
    const { topology, tasks } = this.store;
    return tasks
      .flatMap((face, task) => {
        const from = firstStart(face);
        return from === null ? [] : [{ task, from, to: face.ended_at ?? now, ready: Math.min(from, readyAt(task, topology!.tasks, tasks, began)) }];
      })
      .sort((one, other) => one.from - other.from || one.task - other.task);
  }

  private bars(span: Span, place: (at: number) => number, isCritical: boolean): HTMLElement[] {
    const { topology, tasks } = this.store;
    const face = tasks[span.task]!;
    const info = topology!.tasks[span.task]!;
    const at = (element: HTMLElement, from: number, to: number) => {
      element.style.left = `${place(from)}%`;
      element.style.width = `${Math.max(0.15, place(to) - place(from))}%`;
      return element;
    };
    const waited = span.from - span.ready;
    const attempts = [...face.tries.map(([from, to, tone]) => ({ from, to, tone })), { from: face.started_at ?? span.from, to: span.to, tone: face.tone }];
    const words = [
      info.name,
      face.word,
      `took ${duration(span.to - span.from)}`,
      waited > 0.005 ? `waited ${duration(waited)} though it could begin` : "",
      attempts.length > 1 ? `${attempts.length} attempts` : "",
      isCritical ? "critical path" : "",
    ].filter(Boolean);
    const bars = attempts.map(({ from, to, tone }, index) => {
      const isLast = index === attempts.length - 1;
      const kind = `orch-bar-of orch-tone-${tone}${isCritical ? " critical" : ""}`;
      if (!isLast) return at(h("i", { class: kind, "data-task": span.task }), from, to);
      const bar = h("button", { type: "button", class: kind, "data-task": span.task, "aria-label": words.join(", "), title: words.join(" · ") });
      return at(bar, from, to);
    });
    return waited > 0.005 ? [at(h("i", { class: "orch-wait", "data-task": span.task }), span.ready, span.from), ...bars] : bars;
  }

  private ticks(length: number): void {
    const rough = length / 5;
    const power = 10 ** Math.floor(Math.log10(rough));
    const units = length > 120 ? [15, 30, 60, 120, 300, 600, 900, 1800, 3600, 7200, 14400, 86400] : [1, 2, 5, 10].map((unit) => unit * power);
    const step = units.find((unit) => unit >= rough) ?? units[units.length - 1]!;
    const marks: HTMLElement[] = [];
    for (let at = 0; at <= length * 0.9; at += step) {
      const tick = h("span", {}, at ? duration(at) : "0");
      tick.style.left = `${(100 * at) / length}%`;
      marks.push(tick);
    }
    this.axis.replaceChildren(h("span", { class: "orch-lane-name" }), h("span", { class: "orch-track" }, ...marks));
  }

  private describe(critical: Set<number>, count: number, rows: number): void {
    const names = [...critical].reverse().map((index) => this.store.topology!.tasks[index]!.name);
    const path = names.length > 8 ? [...names.slice(0, 4), "…", ...names.slice(-3)] : names;
    const how = count > MANY ? `${count} tasks in ${rows} lane${rows === 1 ? "" : "s"}, as many as ran at once. ` : "";
    this.legend.replaceChildren(
      how,
      h("span", { class: "orch-key orch-key-critical" }),
      `critical path: ${path.join(" → ")}`,
      ...(count > MANY ? [] : [h("span", { class: "orch-key orch-key-wait" }), "could begin, and waited for room"]),
    );
  }

  private bar(index: number): HTMLElement | null {
    return this.chart.querySelector<HTMLElement>(`button[data-task="${index}"]`);
  }

  private choose(index: number): void {
    this.reachable = index;
    this.store.select(index);
  }

  private key(event: KeyboardEvent): void {
    const bars = [...this.chart.querySelectorAll<HTMLElement>("button[data-task]")];
    const at = bars.indexOf(document.activeElement as HTMLElement);
    const steps: Record<string, number> = { ArrowRight: 1, ArrowDown: 1, ArrowLeft: -1, ArrowUp: -1, Home: -bars.length, End: bars.length };
    const step = steps[event.key];
    if (at < 0 || step === undefined) {
      // A button answers Enter and the space bar itself; Jupyter must not.
      if (event.key === "Enter" || event.key === " ") event.stopPropagation();
      return;
    }
    event.preventDefault();
    event.stopPropagation();
    const next = bars[Math.min(bars.length - 1, Math.max(0, at + step))]!;
    this.reachable = Number(next.dataset.task);
    this.mark();
    next.focus();
  }
}

