// A notebook made to run by itself: when, with which values, on which terms; the next due times before anything is
// saved; and what has been promoted already.

import { button, h, keepKeys, pill, setText } from "./dom";
import type { DeploymentLine, Preview, PromoteForm } from "./messages";
import { Fields } from "./parameters";
import { DAYS, PRESETS, written, type Chosen } from "./schedule";
import type { Store } from "./store";
import type { View } from "./views";

/** Milliseconds without a key before the next due times are asked for. */
const PAUSE = 250;

const TOLD = "nobody, or an address: mailto://…, slack://…, https://…, command: PROGRAM, or $NAME, a variable of the worker";

let forms = 0;

export class Promote implements View {
  readonly name = "Promote";
  readonly element: HTMLElement;
  private readonly id = `orch-promote-${++forms}`;
  private readonly rows = new Map<string, HTMLElement>();
  private readonly fields = new Map<string, HTMLInputElement | HTMLSelectElement>();
  private readonly parameters = new Fields();
  private readonly given = h("div", { class: "orch-fields" });
  private readonly words = h("p", { role: "status" });
  private readonly said = h("p", { role: "status" });
  private readonly about = h("p", { class: "orch-dim" });
  private readonly list = h("div", { class: "orch-deployments" });
  private readonly form: HTMLFormElement;
  private isAsked = false;
  private isFilled = false;
  private timer: ReturnType<typeof setTimeout> | undefined;

  constructor(private readonly store: Store) {
    const options = (pairs: [string, string][]) => h("select", {}, ...pairs.map(([value, words]) => h("option", { value }, words)));
    const text = (placeholder = "") => h("input", { type: "text", autocomplete: "off", placeholder });
    const zones = h("datalist", { id: `${this.id}-zones` });
    const zone = text();
    zone.setAttribute("list", zones.id);
    const save = h("button", { type: "submit", class: "orch-button orch-primary" }, "Promote");
    this.form = h(
      "form",
      { class: "orch-fields", "aria-label": "Promote this notebook" },
      this.row("name", "Name", text("nightly")),
      this.row("preset", "Schedule", options(PRESETS.map(([value, words]) => [value, words]))),
      this.row("day", "Day", options(DAYS)),
      this.row("time", "Time", h("input", { type: "time", value: "06:00" })),
      this.row("every", "Interval", text("30m, 2h, 1d"), "a number with s, m, h or d"),
      this.row("cron", "Cron", text("0 6 * * 1-5"), "minute hour day month weekday"),
      this.row("zone", "Time zone", zone),
      h("div", { class: "orch-row" }, h("span", {}, "Next"), h("div", { class: "orch-wide" }, this.words)),
      this.given,
      this.row("queue", "Queue", text("default"), "which workers look at"),
      this.row("retries", "If it fails", options([["0", "do not repeat it"], ["1", "repeat it once"], ["2", "repeat it twice"], ["5", "repeat it up to 5 times"]])),
      this.row("delay", "Wait before", options([["0", "at once"], ["60", "1 minute"], ["300", "5 minutes"], ["3600", "1 hour"]])),
      this.row("catch_up", "If it is missed", options([["latest", "run the latest once"], ["all", "run every missed one"], ["skip", "leave it out"]])),
      this.row("overlap", "If one still runs", options([["", "let both run"], ["queue", "wait for it"], ["skip", "leave the new one out"], ["cancel", "cancel the old one"]])),
      this.row("notify", "Tell", text("slack://…"), TOLD),
      this.row("on", "When", text(), ""),
      h("div", { class: "orch-row" }, h("span"), save),
      zones,
    );
    this.given.append(this.parameters.element);
    this.form.addEventListener("submit", (event) => {
      event.preventDefault();
      this.said.classList.remove("orch-bad");
      setText(this.said, "Promoting…");
      this.ask({ do: "promote", ...this.values(), values: this.parameters.changed() });
    });
    this.form.addEventListener("input", () => this.adapt());
    this.element = h("div", { class: "orch-promote" }, this.about, this.form, this.said, this.list);
    this.adapt(false);
  }

  draw(): void {
    if (!this.isAsked) this.ask({ do: "form" });
    this.isAsked = true;
  }

  update(): void {}
  tick(): void {}
  mark(): void {}

  answer(data: unknown, error: string): void {
    const { form, preview } = (data ?? {}) as { form?: PromoteForm; preview?: Preview };
    this.said.classList.toggle("orch-bad", Boolean(error));
    if (error) {
      setText(this.said, error);
      this.parameters.blame(error);
    }
    if (preview) this.show(preview);
    if (form) this.fill(form);
  }

  private row(name: string, words: string, input: HTMLInputElement | HTMLSelectElement, help = ""): HTMLElement {
    input.id = `${this.id}-${name}`;
    input.classList.add("orch-field");
    keepKeys(input);
    this.fields.set(name, input);
    const made = h("div", { class: "orch-row" }, h("label", { for: input.id }, words), input, h("span", { class: "orch-dim", id: `${input.id}-help` }, help));
    input.setAttribute("aria-describedby", `${input.id}-help`);
    this.rows.set(name, made);
    return made;
  }

  private values(): Record<string, string> {
    const found: Record<string, string> = {};
    for (const [name, input] of this.fields) found[name] = input.value;
    return { ...found, ...written(found as unknown as Chosen) };
  }

  /** Shows the fields of the schedule that was chosen, and soon its next due times. */
  private adapt(ask = true): void {
    const chosen = this.fields.get("preset")!.value;
    const wanted = PRESETS.find(([value]) => value === chosen)?.[2] ?? [];
    for (const name of ["day", "time", "every", "cron"] as const) this.rows.get(name)!.hidden = !wanted.includes(name);
    this.rows.get("zone")!.hidden = chosen === "none" || chosen === "interval";
    this.rows.get("catch_up")!.hidden = chosen === "none";
    this.rows.get("delay")!.hidden = this.fields.get("retries")!.value === "0";
    this.rows.get("on")!.hidden = !this.fields.get("notify")!.value;
    clearTimeout(this.timer);
    if (ask) this.timer = setTimeout(() => this.preview(), PAUSE);
  }

  private preview(): void {
    this.ask({ do: "preview", ...this.values() });
  }

  private ask(question: Record<string, unknown>): void {
    this.store.link.say({ type: "ask", page: "promote", question });
  }

  private show(preview: Preview): void {
    this.words.classList.toggle("orch-bad", Boolean(preview.problem));
    setText(this.words, preview.problem || [preview.words, preview.due.join(" · ")].filter(Boolean).join(": "));
    const told = this.rows.get("notify")!.lastElementChild!;
    told.classList.toggle("orch-bad", Boolean(preview.doubt));
    setText(told, preview.doubt || preview.notice || TOLD);
    this.fields.get("notify")!.setAttribute("aria-invalid", String(Boolean(preview.doubt)));
  }

  private fill(form: PromoteForm): void {
    setText(this.about, form.problem || `${form.notebook}. ${form.has_worker ? "" : "No worker is running: start one in a terminal with “orch worker”."}`);
    this.about.classList.toggle("orch-bad", Boolean(form.problem));
    this.form.hidden = Boolean(form.problem);
    if (form.said) setText(this.said, form.said);
    this.given.hidden = !form.parameters.length;
    this.parameters.draw(form.parameters);
    if (!this.isFilled) {
      this.isFilled = true;
      this.fields.get("name")!.value = form.name;
      this.fields.get("zone")!.value = form.zone;
      this.fields.get("on")!.value = "failed, recovered";
      const facts = this.rows.get("on")!.lastElementChild as HTMLElement;
      setText(facts, form.facts.map(([fact]) => fact).join(", "));
      facts.title = form.facts.map(([fact, means]) => `${fact}: ${means}`).join("\n");
      document.getElementById(`${this.id}-zones`)?.replaceChildren(...form.zones.map((zone) => h("option", { value: zone })));
      this.preview();
    }
    this.list.replaceChildren(...(form.deployments.length ? [h("h4", {}, "Promoted from this notebook"), ...form.deployments.map((line) => this.deployment(line))] : []));
  }

  private deployment(line: DeploymentLine): HTMLElement {
    const { shapes } = this.store.topology!;
    const does = line.is_paused ? "unpause" : "pause";
    return h(
      "div",
      { class: "orch-deployment" },
      h("div", { class: "orch-title" }, h("b", {}, line.name), h("span", { class: "orch-dim" }, `version ${line.version}`), line.is_paused ? pill(shapes, "paused", "Paused") : null, h("span", { class: "orch-grow" }), button(line.is_paused ? "Unpause" : "Pause", "", () => this.ask({ do: does, name: line.name })), button("Run now", "", () => this.ask({ do: "trigger", name: line.name }))),
      h("div", { class: "orch-dim" }, [line.schedules.join(" and ") || "runs when somebody asks", line.next && `next ${line.next}`, ...line.tells].filter(Boolean).join(" · ")),
      h("div", { class: "orch-title" }, ...line.runs.map(([tone, word]) => pill(shapes, tone, word))),
    );
  }
}
