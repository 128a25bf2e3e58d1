// What a task wrote: the end of its log, by level and by words.

import { h, keepKeys, setText } from "./dom";
import { timeOfDay } from "./format";
import type { LogLine } from "./messages";

const LEVELS: [number, string][] = [
  [0, "All lines"],
  [30, "Warnings and errors"],
  [40, "Errors"],
];

/** The lines of a level or above that hold all the words. */
export function sift(lines: LogLine[], level: number, words: string): LogLine[] {
  const wanted = words.toLowerCase().split(/\s+/).filter(Boolean);
  return lines.filter((line) => line.level >= level && wanted.every((word) => line.text.toLowerCase().includes(word)));
}

export class Log {
  readonly element: HTMLElement;
  private lines: LogLine[] = [];
  private readonly level = h("select", { class: "orch-field", "aria-label": "Level" }, ...LEVELS.map(([level, words]) => h("option", { value: level }, words)));
  private readonly words = h("input", { type: "search", class: "orch-field", placeholder: "Search the log", "aria-label": "Search the log" });
  private readonly tools = h("div", { class: "orch-sieve" }, this.words, this.level);
  private readonly list = h("div", { class: "orch-log", tabindex: 0, role: "log", "aria-live": "off", "aria-label": "Log" });
  private readonly none = h("div", { class: "orch-dim" });

  constructor() {
    for (const field of [this.level, this.words]) {
      field.addEventListener("input", () => this.draw());
      keepKeys(field);
    }
    keepKeys(this.list);
    this.element = h("div", { class: "orch-logs" }, this.tools, this.list, this.none);
  }

  show(lines: LogLine[], said: string): void {
    this.lines = lines;
    this.draw(said);
  }

  /** Keeps the reader's place unless it is the end. */
  private draw(said = ""): void {
    const atEnd = this.list.hidden || this.list.scrollHeight - this.list.scrollTop - this.list.clientHeight < 24;
    const shown = sift(this.lines, Number(this.level.value), this.words.value);
    const attempts = new Set(this.lines.map((line) => line.attempt)).size > 1;
    let attempt = 0;
    const rows = shown.flatMap((line) => {
      const kind = line.level >= 40 ? "orch-error" : line.level >= 30 ? "orch-warning" : "";
      const row = h("div", kind ? { class: kind } : {}, h("span", { class: "orch-dim" }, timeOfDay(line.at)), " ", line.text);
      if (!attempts || line.attempt === attempt) return [row];
      attempt = line.attempt;
      return [h("div", { class: "orch-dim orch-rule" }, `attempt ${attempt}`), row];
    });
    this.list.replaceChildren(...rows);
    this.list.hidden = !rows.length;
    this.tools.hidden = this.lines.length < 6 && !this.words.value && this.level.value === "0";
    setText(this.none, rows.length ? "" : this.lines.length ? "No line of the log is like that." : said);
    this.none.hidden = !this.none.textContent;
    if (atEnd) this.list.scrollTop = this.list.scrollHeight;
  }
}
