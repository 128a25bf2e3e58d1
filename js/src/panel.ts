// The panel: head, tabs, the view of each, detail. One per place on the page; several may share a store.

import { dress, undress } from "./cells";
import { DetailView } from "./detail";
import { h } from "./dom";
import { Graph } from "./graph";
import { Head } from "./head";
import { History } from "./history";
import { Promote } from "./promote";
import type { Change, Store } from "./store";
import { Tasks } from "./tasks";
import { followTheme } from "./theme";
import { Timeline } from "./timeline";
import type { View } from "./views";

/** Growing times are redrawn this often (milliseconds). */
const TICK = 200;

/** So long a panel waits for its kernel before it says what to do (milliseconds). */
const PATIENCE = 6000;

let panels = 0;

const pageOf = (view: View) => view.name.toLowerCase();

/** The tabs, in their order. */
function viewsOf(store: Store, open: () => void): View[] {
  return [new Graph(store), new Timeline(store), new Tasks(store), new History(store, open), new Promote(store)];
}

export function showPanel(place: HTMLElement, store: Store): () => void {
  const head = new Head(store);
  const views = viewsOf(store, () => tabs.choose(0));
  const detail = new DetailView(store);
  const tabs = makeTabs(views, (view) => {
    // These two are about the flow, not about one of its tasks.
    detail.element.hidden = view instanceof History || view instanceof Promote;
    body.classList.toggle("orch-alone", detail.element.hidden);
    view.draw();
  });
  const empty = h("div", { class: "orch-empty orch-dim" }, "Waiting for the kernel…");
  const body = h("div", { class: "orch-body", hidden: true }, tabs.pages, detail.element);
  tabs.list.hidden = true;
  const root = h("div", { class: "orch-panel" }, head.element, tabs.list, body, empty);
  head.element.hidden = true;
  place.append(root);
  const unfollow = followTheme(root);

  const everything = () => {
    const some = (store.topology?.tasks.length ?? 0) > 0;
    head.element.hidden = !store.topology;
    tabs.list.hidden = body.hidden = !some;
    views.forEach((view, index) => ((tabs.list.children[index] as HTMLElement).hidden = view.answer !== undefined && !store.topology?.pages.includes(pageOf(view))));
    empty.hidden = some;
    if (store.topology && !some) {
      empty.replaceChildren(...store.topology.hint.split("`").map((part, index) => (index % 2 ? h("code", { class: "orch-chip" }, part) : part)));
    }
    head.update();
    tabs.shown().draw();
    detail.update();
    badges();
  };

  const unlisten = store.listen((change: Change) => {
    switch (change.kind) {
      case "all":
        return everything();
      case "some":
        head.update();
        tabs.shown().update(change.tasks, change.nodes);
        // The detail's buttons depend on the run, its facts on the task.
        return detail.update();
      case "selected":
        tabs.shown().mark();
        return detail.update();
      case "detail":
        return detail.more();
      case "refused":
        return head.update();
      case "answer":
        return views.find((view) => pageOf(view) === change.answer.page)?.answer?.(change.answer.data, change.answer.error);
    }
  });

  const badges = () => {
    const why = store.past || store.link.silence ? "not now" : store.controls.part;
    dress(new Set(store.topology?.tasks.map((task) => task.name)), why, (task) => {
      store.dismiss();
      store.link.say({ type: "run", select: [task], everything: false, values: {} });
    });
  };

  if (store.topology) everything();
  const doubt = setTimeout(() => {
    if (!store.topology) empty.textContent = "The kernel has not answered yet. If it was restarted, run this cell again.";
  }, PATIENCE);

  let ticks = 0;
  const timer = setInterval(() => {
    // Nobody sees a hidden tab or an output scrolled out of the page's windowed cells.
    if (document.hidden || !root.isConnected) return;
    if (ticks++ % 5 === 0) badges();
    store.link.watch(store.isGoing && !store.past);
    // Times that nobody vouches for do not grow.
    if (!store.isGoing || store.link.silence === "lost" || store.link.silence === "gone") return;
    head.tick();
    detail.tick();
    tabs.shown().tick();
  }, TICK);

  return () => {
    clearInterval(timer);
    clearTimeout(doubt);
    unlisten();
    unfollow();
    undress();
    root.remove();
  };
}

/** Tabs as the ARIA practices want them: one tab stop, arrows move between them. A view draws itself when it is shown. */
function makeTabs(views: View[], show: (view: View) => void): { list: HTMLElement; pages: HTMLElement; shown: () => View; choose: (index: number) => void } {
  const id = `orch-${++panels}`;
  const list = h("div", { class: "orch-tabs", role: "tablist", "aria-label": "Views" });
  const pages = h("div", { class: "orch-pages" });
  let chosen = 0;
  const choose = (next: number, focus: boolean) => {
    chosen = next;
    views.forEach(({ element }, index) => {
      const tab = list.children[index] as HTMLElement;
      element.hidden = index !== chosen;
      tab.setAttribute("aria-selected", String(index === chosen));
      tab.setAttribute("tabindex", index === chosen ? "0" : "-1");
      if (focus && index === chosen) tab.focus();
    });
    show(views[chosen]!);
  };
  views.forEach(({ name, element }, index) => {
    const tab = h("button", { type: "button", role: "tab", id: `${id}-tab-${index}`, "aria-controls": `${id}-page-${index}` }, name);
    tab.addEventListener("click", () => choose(index, false));
    list.append(tab);
    element.id = `${id}-page-${index}`;
    element.setAttribute("role", "tabpanel");
    element.setAttribute("aria-labelledby", tab.id);
    pages.append(element);
  });
  list.addEventListener("keydown", (event) => {
    const there = views.flatMap((_, index) => ((list.children[index] as HTMLElement).hidden ? [] : [index]));
    const at = there.indexOf(chosen);
    const steps: Record<string, number> = { ArrowRight: at + 1, ArrowLeft: at - 1, Home: 0, End: -1 };
    const next = steps[event.key];
    if (next === undefined) return;
    event.preventDefault();
    event.stopPropagation();
    choose(there.at(next % there.length)!, true);
  });
  views.forEach(({ element }, index) => {
    element.hidden = index !== 0;
    const tab = list.children[index]!;
    tab.setAttribute("aria-selected", String(index === 0));
    tab.setAttribute("tabindex", index === 0 ? "0" : "-1");
  });
  return { list, pages, shown: () => views[chosen]!, choose: (index) => choose(index, false) };
}
