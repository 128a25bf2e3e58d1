// The form of the flow's parameters. Values travel as they were typed; the kernel checks them against the types, so the
// rules are written once.

import { button, h, keepKeys, setText } from "./dom";
import { timeOfDay } from "./format";
import type { Asked, ParameterInfo } from "./messages";

/** The field that fits a type. */
export function field(info: ParameterInfo, id: string): HTMLInputElement | HTMLSelectElement {
  const { kind, choices, value } = info;
  if (choices.length) {
    const known = choices.includes(value) ? value : value ? null : choices.includes("None") ? "None" : "";
    const select = h("select", { id, class: "orch-field" }, ...(known ? choices : [value, ...choices]).map((choice) => h("option", { value: choice }, choice || "choose…")));
    select.value = known ?? value;
    return select;
  }
  const input = h("input", { id, class: "orch-field", type: kind === "date" ? kind : kind === "secret" ? "password" : "text", autocomplete: "off" });
  if (kind === "integer") input.inputMode = "numeric";
  if (kind === "number") input.inputMode = "decimal";
  input.value = value;
  return input;
}

let forms = 0;

/** Rows of label, field and help; what it reads out is only what somebody changed. */
export class Fields {
  readonly element = h("div", { class: "orch-fields" });
  private inputs = new Map<string, { input: HTMLInputElement | HTMLSelectElement; was: string; row: HTMLElement; help: HTMLElement; says: string }>();
  private shown = "";

  draw(infos: ParameterInfo[]): void {
    const next = JSON.stringify(infos);
    if (next === this.shown) return;
    const typed = this.changed();
    this.shown = next;
    this.inputs.clear();
    const id = `orch-field-${++forms}`;
    const rows = infos.map((info, index) => {
      const input = field(info, `${id}-${index}`);
      const was = input.value;
      if (typed[info.name] !== undefined) input.value = typed[info.name]!;
      keepKeys(input);
      const says = [info.annotation || "any value", info.help, info.is_required ? "must be given" : ""].filter(Boolean).join(" · ");
      const help = h("span", { class: "orch-dim", id: `${id}-${index}-help` }, says);
      input.setAttribute("aria-describedby", help.id);
      const row = h("div", { class: "orch-row" }, h("label", { for: input.id }, info.name), input, help);
      this.inputs.set(info.name, { input, was, row, help, says });
      return row;
    });
    this.element.replaceChildren(...rows);
  }

  /** What somebody typed that is not what stands there anyway. */
  changed(): Record<string, string> {
    const found: Record<string, string> = {};
    for (const [name, { input, was }] of this.inputs) if (input.value !== was) found[name] = input.value;
    return found;
  }

  /** Shows at its field what was said against a value. */
  blame(refusal: string): void {
    for (const [name, { input, help, says }] of this.inputs) {
      const said = refusal.split(/(?<=\.) /).filter((sentence) => sentence.includes(`'${name}'`))[0] ?? "";
      input.toggleAttribute("aria-invalid", Boolean(said));
      if (said) input.setAttribute("aria-invalid", "true");
      help.classList.toggle("orch-bad", Boolean(said));
      setText(help, said || says);
    }
  }

  focus(): void {
    this.inputs.values().next().value?.input.focus();
  }
}

/** Values in a few words: `n = 200, rate = 0.5`. */
export function inWords(values: [string, string][], most = 3): string {
  const shown = values.slice(0, most).map(([name, value]) => `${name} = ${value.length > 24 ? value.slice(0, 23) + "…" : value}`);
  return shown.join(", ") + (values.length > most ? ` +${values.length - most}` : "");
}

/** What a form consists of. The form itself has no name: named ones are landmarks, and every panel on a page has them. */
const group = (name: string, ...parts: HTMLElement[]) => h("div", { role: "group", "aria-label": name }, ...parts);

/** The button in the head that says what the flow is given, and the form that it opens. */
export class Parameters {
  readonly fields = new Fields();
  readonly form = h("form", { class: "orch-form", hidden: true });
  readonly opener: HTMLButtonElement;
  private readonly words = h("span", {});

  constructor(run: () => void) {
    this.opener = button("", "orch-quiet orch-given", () => this.toggle());
    this.opener.replaceChildren(this.words);
    this.opener.setAttribute("aria-expanded", "false");
    const go = h("button", { type: "submit", class: "orch-button" }, "Run with these");
    this.form.append(group("Parameters", this.fields.element, h("div", { class: "orch-row" }, h("span"), go)));
    this.form.addEventListener("submit", (event) => {
      event.preventDefault();
      run();
    });
  }

  update(infos: ParameterInfo[], refused: string): void {
    this.opener.hidden = !infos.length;
    if (!infos.length) this.form.hidden = true;
    this.fields.draw(infos);
    setText(this.words, inWords(infos.map(({ name, value }) => [name, value])));
    this.opener.title = "Change the parameters of the next run";
    this.fields.blame(refused);
  }

  private toggle(): void {
    this.form.hidden = !this.form.hidden;
    this.opener.setAttribute("aria-expanded", String(!this.form.hidden));
    if (!this.form.hidden) this.fields.focus();
  }
}

/** What a run waits to be told, as a form; an answer is checked by the kernel as the type that was asked for. */
export class Question {
  readonly form = h("form", { class: "orch-form orch-asked", hidden: true });
  private readonly fields = new Fields();
  private readonly words = h("p", { role: "status" });
  private asked: Asked | null = null;

  constructor(resume: (run_id: string, answer: Record<string, string>) => void) {
    const go = h("button", { type: "submit", class: "orch-button orch-primary" }, "Resume");
    this.form.append(group("Answer", this.words, this.fields.element, h("div", { class: "orch-row" }, h("span"), go)));
    this.form.addEventListener("submit", (event) => {
      event.preventDefault();
      if (this.asked) resume(this.asked.run_id, this.fields.changed());
    });
  }

  update(asked: Asked | null, refused: string): void {
    // The next question begins with empty fields.
    if (asked?.run_id !== this.asked?.run_id || asked?.until !== this.asked?.until) this.fields.draw([]);
    this.asked = asked;
    this.form.hidden = !asked;
    if (!asked) return;
    this.fields.draw(asked.fields);
    this.fields.blame(refused);
    setText(this.words, `${asked.words} It does until ${timeOfDay(asked.until).slice(0, 5)}.`);
  }
}
