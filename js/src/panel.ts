// The panel: head, tabs, diagram or table, detail. One per view; several may share a store.

import { DetailView } from "./detail";
import { h } from "./dom";
import { Graph } from "./graph";
import { Head } from "./head";
import type { FromBrowser } from "./messages";
import type { Change, Store } from "./store";
import { Tasks } from "./tasks";
import { followTheme } from "./theme";

/** Growing times are redrawn this often (milliseconds). */
const TICK = 200;

/** So long a panel waits for its kernel before it says what to do (milliseconds). */
const PATIENCE = 6000;

let panels = 0;

export function showPanel(place: HTMLElement, store: Store, send: (message: FromBrowser) => void): () => void {
  const head = new Head(store, send);
  const graph = new Graph(store);
  const tasks = new Tasks(store);
  const detail = new DetailView(store, send);
  const tabs = makeTabs([
    ["Graph", graph.element],
    ["Tasks", tasks.element],
  ]);
  const empty = h("div", { class: "orch-empty orch-dim" }, "Waiting for the kernel…");
  const body = h("div", { class: "orch-body", hidden: true }, tabs.pages, detail.element);
  tabs.list.hidden = true;
  const root = h("div", { class: "orch-panel" }, head.element, tabs.list, body, empty);
  head.element.hidden = true;
  place.append(root);
  const unfollow = followTheme(root);

  const everything = (topology: boolean) => {
    const some = (store.topology?.tasks.length ?? 0) > 0;
    head.element.hidden = !store.topology;
    tabs.list.hidden = body.hidden = !some;
    empty.hidden = some;
    if (store.topology && !some) {
      empty.replaceChildren("No tasks yet: begin a cell with ", h("code", { class: "orch-chip" }, "%%task NAME"), ".");
    }
    head.update();
    if (topology) {
      graph.draw();
      tasks.draw();
    } else {
      graph.paint(store.nodes.map((_, index) => index));
      tasks.update(store.tasks.map((_, index) => index));
    }
    detail.update();
  };

  const unlisten = store.listen((change: Change) => {
    switch (change.kind) {
      case "all":
        return everything(change.topology);
      case "some":
        head.update();
        graph.paint(change.nodes);
        tasks.update(change.tasks);
        // The detail's button depends on the run, its facts on the task.
        return detail.update();
      case "selected":
        graph.mark();
        tasks.mark();
        return detail.update();
      case "detail":
        return detail.lines();
      case "refused":
        return head.update();
    }
  });
  if (store.topology) everything(true);
  const doubt = setTimeout(() => {
    if (!store.topology) empty.textContent = "The kernel has not answered yet. If it was restarted, run this cell again.";
  }, PATIENCE);

  const timer = setInterval(() => {
    // Nobody sees a hidden tab or an output scrolled out of the page's windowed cells.
    if (document.hidden || !root.isConnected || !store.run || store.run.is_final) return;
    head.tick();
    detail.tick();
    if (graph.element.hidden) tasks.tick();
    else graph.tick();
  }, TICK);

  return () => {
    clearInterval(timer);
    clearTimeout(doubt);
    unlisten();
    unfollow();
    root.remove();
  };
}

/** Tabs as the ARIA practices want them: one tab stop, arrows move between them. */
function makeTabs(pages: [string, HTMLElement][]): { list: HTMLElement; pages: HTMLElement } {
  const id = `orch-${++panels}`;
  const list = h("div", { class: "orch-tabs", role: "tablist" });
  const place = h("div", { class: "orch-pages" });
  const show = (chosen: number, focus: boolean) => {
    pages.forEach(([, page], index) => {
      const tab = list.children[index] as HTMLElement;
      page.hidden = index !== chosen;
      tab.setAttribute("aria-selected", String(index === chosen));
      tab.setAttribute("tabindex", index === chosen ? "0" : "-1");
      if (focus && index === chosen) tab.focus();
    });
  };
  pages.forEach(([name, page], index) => {
    const tab = h("button", { type: "button", role: "tab", id: `${id}-tab-${index}`, "aria-controls": `${id}-page-${index}` }, name);
    tab.addEventListener("click", () => show(index, false));
    list.append(tab);
    page.id = `${id}-page-${index}`;
    page.setAttribute("role", "tabpanel");
    page.setAttribute("aria-labelledby", tab.id);
    place.append(page);
  });
  list.addEventListener("keydown", (event) => {
    const at = pages.findIndex((_, index) => list.children[index]?.getAttribute("aria-selected") === "true");
    const step = event.key === "ArrowRight" ? 1 : event.key === "ArrowLeft" ? pages.length - 1 : 0;
    if (!step) return;
    event.preventDefault();
    event.stopPropagation();
    show((at + step) % pages.length, true);
  });
  show(0, false);
  return { list, pages: place };
}
