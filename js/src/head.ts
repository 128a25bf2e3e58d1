// The panel's head: flow, state, progress, ▶ and ■, the thin bar, what was refused, what the run leaves behind.

import { h, pill, setText, shape } from "./dom";
import { elapsed, phrase } from "./format";
import type { FromBrowser } from "./messages";
import type { Store } from "./store";

export class Head {
  readonly element: HTMLElement;
  private readonly name = h("b", { class: "orch-flow" });
  private readonly state = h("span", {});
  private readonly progress = h("span", { class: "orch-dim orch-progress" });
  private readonly run: HTMLButtonElement;
  private readonly all: HTMLButtonElement;
  private readonly cancel: HTMLButtonElement;
  private readonly bar = h("div", { class: "orch-bar", role: "progressbar", "aria-valuemin": 0, "aria-label": "Tasks done" });
  private readonly notice = h("div", { class: "orch-notice", role: "alert", hidden: true });
  private readonly outcome = h("div", { class: "orch-outcome orch-dim", hidden: true });
  private readonly said = h("span", { class: "orch-unseen", role: "status", "aria-live": "polite" });
  private shown = "";
  private waiting: "run" | "cancel" | "" = "";

  constructor(
    private readonly store: Store,
    send: (message: FromBrowser) => void,
  ) {
    const play = shape("M3 1.8v8.4L10 6z", "run");
    const stop = shape("M2.5 2.5h7v7h-7z", "stop");
    this.run = h("button", { type: "button", class: "orch-button orch-primary" }, play, "Run");
    this.all = h("button", { type: "button", class: "orch-button orch-quiet" }, "Run all");
    this.all.title = "Run every task, stale or not";
    this.run.title = "Run what is stale";
    this.cancel = h("button", { type: "button", class: "orch-button" }, stop, "Cancel");
    // A click is answered at once, here; the kernel's answer follows with its next message.
    for (const [button, everything] of [[this.run, false], [this.all, true]] as const) {
      button.addEventListener("click", () => {
        store.dismiss();
        this.wait("run");
        send({ type: "run", select: [], everything });
      });
    }
    this.cancel.addEventListener("click", () => {
      this.wait("cancel");
      send({ type: "cancel" });
    });
    this.element = h(
      "header",
      {},
      h(
        "div",
        { class: "orch-head" },
        h("span", { class: "orch-where" }, this.name, this.state, this.progress),
        h("span", { class: "orch-buttons" }, this.all, this.run, this.cancel),
      ),
      this.bar,
      this.notice,
      this.outcome,
      this.said,
    );
  }

  update(): void {
    const { topology, run, refused } = this.store;
    if (!topology) return;
    this.waiting = "";
    setText(this.name, topology.flow);
    setText(this.progress, run ? run.progress : topology.tasks.length ? count(topology.tasks.length) : "");
    const spoken = run ? `${topology.flow}: ${run.word}` : "";
    if (spoken !== this.shown) {
      this.shown = spoken;
      setText(this.said, spoken);
    }
    this.state.replaceChildren(...(run ? [pill(topology.shapes, run.tone, this.words())] : []));
    this.notice.hidden = !refused;
    setText(this.notice, refused);
    const outcome = run?.is_final ? run.outcome : "";
    this.outcome.hidden = !outcome;
    setText(this.outcome, outcome);
    this.stripes();
    this.buttons();
  }

  tick(): void {
    const { run } = this.store;
    const words = this.state.querySelector(".orch-pill > span");
    if (run && !run.is_final && words) setText(words, this.words());
  }

  /** Takes the button that was clicked away until an answer comes, or for a moment where nothing changes. */
  private wait(action: "run" | "cancel"): void {
    this.waiting = action;
    this.buttons();
    setTimeout(() => {
      if (this.waiting === action) {
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
    const { run, topology } = this.store;
    const busy = run !== null && !run.is_final;
    this.run.disabled = this.all.disabled = busy || !topology?.tasks.length || this.waiting === "run";
    this.all.hidden = run === null;
    this.cancel.disabled = !run?.can_cancel || this.waiting === "cancel";
  }
}

function count(tasks: number): string {
  return `${tasks} task${tasks === 1 ? "" : "s"}, not run yet`;
}
