// The panel's head: flow, state, progress, what one can do, the thin bar, what was refused, what the run leaves behind.

import { allow, button, h, pill, setText } from "./dom";
import { dayAndTime, duration, elapsed, phrase } from "./format";
import { interrupt, silenceWords } from "./link";
import { inWords, Parameters, Question } from "./parameters";
import { secondsLeft } from "./plan";
import type { Store } from "./store";

const SHAPES = {
  run: "M3 1.8v8.4L10 6z",
  stop: "M2.5 2.5h7v7h-7z",
  pause: "M4 2.5v7M8 2.5v7",
  again: "M10 6a4 4 0 1 1-1.2-2.8M10 1.4v2.3H7.7",
};

type Verb = "run" | "cancel" | "pause" | "resume" | "retry";

export class Head {
  readonly element: HTMLElement;
  private readonly name = h("b", { class: "orch-flow" });
  private readonly state = h("span", {});
  private readonly progress = h("span", { class: "orch-dim orch-progress" });
  private readonly coming = h("span", { class: "orch-dim orch-coming" });
  private readonly run: HTMLButtonElement;
  private readonly all: HTMLButtonElement;
  private readonly cancel: HTMLButtonElement;
  private readonly pause: HTMLButtonElement;
  private readonly resume: HTMLButtonElement;
  private readonly retry: HTMLButtonElement;
  private readonly parameters: Parameters;
  private readonly question: Question;
  private readonly bar = h("div", { class: "orch-bar", role: "progressbar", "aria-valuemin": 0, "aria-label": "Tasks done" });
  private readonly silent = h("div", { class: "orch-notice orch-calm", role: "status", hidden: true });
  private readonly past = h("div", { class: "orch-notice orch-calm", hidden: true });
  private readonly pastWords = h("span", {});
  private readonly notice = h("div", { class: "orch-notice", role: "alert", hidden: true });
  private readonly outcome = h("div", { class: "orch-outcome orch-dim", hidden: true });
  private readonly said = h("span", { class: "orch-unseen", role: "status", "aria-live": "polite" });
  private shown = "";
  private waiting: Verb | "" = "";

  constructor(private readonly store: Store) {
    const { link } = store;
    this.parameters = new Parameters(() => this.start(false));
    const resume = (run_id: string, answer: Record<string, string>) => this.act("resume", () => link.say({ type: "resume", run_id, answer }));
    this.question = new Question(resume);
    this.run = button("Run", "orch-primary", () => this.start(false), SHAPES.run, "run");
    this.all = button("Run all", "orch-quiet", () => this.start(true));
    this.pause = button("Pause", "", () => this.act("pause", () => link.say({ type: "pause" })), SHAPES.pause, "pause");
    this.resume = button("Resume", "orch-primary", () => resume(store.run?.run_id ?? "", {}), SHAPES.run, "run");
    this.retry = button("Retry failed", "orch-primary", () => this.act("retry", () => link.say({ type: "retry" })), SHAPES.again, "again");
    this.cancel = button("Cancel", "", () => this.stop(), SHAPES.stop, "stop");
    const buttons = [this.all, this.retry, this.run, this.pause, this.resume, this.cancel];
    this.past.append(this.pastWords, button("Back to the latest", "orch-quiet", () => store.lookAt("")));
    this.element = h(
      "div",
      {},
      h(
        "div",
        { class: "orch-head" },
        h("span", { class: "orch-where" }, this.name, this.state, this.progress),
        h("span", { class: "orch-act" }, this.coming, this.parameters.opener, h("span", { class: "orch-buttons", role: "group", "aria-label": "Run and cancel" }, ...buttons)),
      ),
      this.bar,
      this.silent,
      this.past,
      this.notice,
      this.question.form,
      this.parameters.form,
      this.outcome,
      this.said,
    );
    link.listen(() => this.update());
  }

  update(): void {
    const { topology, run, refused, controls, past, link } = this.store;
    if (!topology) return;
    this.waiting = "";
    setText(this.name, topology.flow);
    this.counts();
    const spoken = run && !past ? `${topology.flow}: ${run.word}` : "";
    if (spoken !== this.shown) {
      this.shown = spoken;
      setText(this.said, spoken);
    }
    this.state.replaceChildren(...(run ? [pill(topology.shapes, run.tone, this.words())] : []));
    const silence = silenceWords(link.silence, run?.is_waited_for ?? false);
    this.silent.hidden = !silence;
    setText(this.silent, silence);
    this.past.hidden = !past;
    const given = run?.parameters.length ? ` with ${inWords(run.parameters)}` : "";
    setText(this.pastWords, past && run ? `An earlier run, of ${dayAndTime(run.started_at ?? run.created_at)}${given}.` : "");
    this.notice.hidden = !refused;
    setText(this.notice, refused);
    this.parameters.update(past ? [] : this.store.parameters, refused);
    this.question.update(this.store.asked, refused);
    const outcome = run?.is_final || run?.is_paused ? run.outcome : "";
    this.outcome.hidden = !outcome;
    setText(this.outcome, outcome);
    setText(this.coming, !past && !this.store.isGoing ? comingWords(controls.coming) : "");
    this.stripes();
    this.buttons();
  }

  tick(): void {
    const { run } = this.store;
    const words = this.state.querySelector(".orch-pill > span");
    if (run && !run.is_final && words) {
      setText(words, this.words());
      this.counts();
    }
  }

  private counts(): void {
    const { topology, run, tasks, usual } = this.store;
    if (!topology) return;
    const left = this.store.isGoing && !run?.is_paused ? secondsLeft(topology.tasks, tasks, usual, this.store.now()) : null;
    const estimate = left === null ? "" : left < 0.5 ? " · about to end" : ` · about ${duration(Math.max(1, Math.round(left)))} left`;
    setText(this.progress, run ? run.progress + estimate : topology.tasks.length ? count(topology.tasks.length) : "");
  }

  private start(everything: boolean): void {
    const values = this.parameters.fields.changed();
    this.act("run", () => this.store.link.say({ type: "run", select: [], everything, values }));
  }

  private stop(): void {
    const { link, run, topology } = this.store;
    this.act("cancel", () => link.say({ type: "cancel", run_id: run?.run_id ?? "" }));
    if (!run?.is_waited_for) return;
    // A kernel that handles no message while a cell waits for the run is interrupted, which cancels it.
    setTimeout(() => {
      if (link.waits("cancel")) void interrupt(topology?.kernel ?? "");
    }, 700);
  }

  /** Takes the button that was clicked away until an answer comes, or for a moment where nothing changes. */
  private act(verb: Verb, say: () => void): void {
    this.store.dismiss();
    this.waiting = verb;
    say();
    this.buttons();
    setTimeout(() => {
      if (this.waiting === verb) {
        this.waiting = "";
        this.buttons();
      }
    }, 3000);
  }

  private words(): string {
    const run = this.store.run!;
    return phrase(run.phrase, run.word, elapsed(run.started_at, run.ended_at, this.store.now()));
  }

  private stripes(): void {
    const { run, tasks } = this.store;
    const total = run?.tones.reduce((sum, [, number]) => sum + number, 0) ?? 0;
    const stripes = (run?.tones ?? [])
      .filter(([tone]) => tone !== "pending")
      .map(([tone, number]) => {
        const stripe = h("i", { class: `orch-stripe-${tone}` });
        stripe.style.width = `${(100 * number) / total}%`;
        return stripe;
      });
    this.bar.replaceChildren(...stripes);
    const done = (run?.tones ?? []).filter(([tone]) => tone === "completed" || tone === "cached");
    this.bar.setAttribute("aria-valuemax", String(total || tasks.length || 1));
    this.bar.setAttribute("aria-valuenow", String(done.reduce((sum, [, number]) => sum + number, 0)));
  }

  private buttons(): void {
    const { run, controls, past, link, isGoing } = this.store;
    const gone = link.silence === "gone" ? "The kernel of this panel has ended. Run its cell again." : "";
    const why = (verb: Verb, reason: string) => gone || reason || (this.waiting === verb ? "The kernel has been asked." : "");
    const failed = controls.again !== null && controls.again > 0;
    allow(this.run, why("run", controls.run), comingWords(controls.coming) || "Run what is stale");
    allow(this.all, why("run", controls.all), "Run every task, stale or fresh");
    allow(this.retry, why("retry", controls.retry), `Run what failed and what did not run because of it: ${tasksWords(controls.again ?? 0)}`);
    allow(this.pause, why("pause", controls.pause), "Let what runs end, and start nothing more");
    allow(this.resume, why("resume", controls.resume), "Go on");
    allow(this.cancel, why("cancel", controls.cancel), "Stop what runs");
    this.all.hidden = run === null || Boolean(past) || isGoing;
    this.retry.hidden = !failed || isGoing || Boolean(past);
    this.run.hidden = Boolean(past);
    this.run.classList.toggle("orch-primary", this.retry.hidden);
    this.pause.hidden = !isGoing || Boolean(run?.is_paused);
    this.resume.hidden = !run?.is_paused || this.store.asked !== null;
    this.cancel.hidden = Boolean(past) && !isGoing;
  }
}

function count(tasks: number): string {
  return `${tasks} task${tasks === 1 ? "" : "s"}, not run yet`;
}

function tasksWords(number: number): string {
  return `${number} task${number === 1 ? "" : "s"}`;
}

function comingWords(coming: number | null): string {
  return coming === null ? "" : coming ? `${tasksWords(coming)} will run` : "Nothing is stale";
}
