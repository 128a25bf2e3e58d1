// The task cells on the page: going to one, and a ▶ in the badge below each while a panel is there to carry it. Cells
// are found by the badge that the kernel marked, so this works wherever trusted outputs are shown, and nowhere else.

import { h } from "./dom";

const BADGE = "[data-orch-task]";

function badgeOf(task: string): HTMLElement | null {
  return [...document.querySelectorAll<HTMLElement>(BADGE)].find((badge) => badge.dataset.orchTask === task) ?? null;
}

const frame = () => new Promise((resolve) => requestAnimationFrame(() => setTimeout(resolve, 20)));

/** Scrolls to a task's cell; false where it is not on this page. */
export async function goToCell(task: string, from: HTMLElement): Promise<boolean> {
  let badge = badgeOf(task);
  const notebook = from.closest<HTMLElement>(".jp-WindowedPanel-outer");
  if (!badge && notebook) {
    // Cells out of sight are not in the document while the notebook windows them: walk through it until it comes.
    const before = notebook.scrollTop;
    for (let at = 0; !badge && at < notebook.scrollHeight; at += notebook.clientHeight * 0.9) {
      notebook.scrollTop = at;
      await frame();
      badge = badgeOf(task);
    }
    if (!badge) notebook.scrollTop = before;
  }
  if (!badge) return false;
  const cell = badge.closest<HTMLElement>(".jp-Cell, .cell, .code_cell") ?? badge;
  const calm = matchMedia("(prefers-reduced-motion: reduce)").matches;
  cell.scrollIntoView({ block: "center", behavior: calm ? "auto" : "smooth" });
  const was = cell.style.outline;
  cell.style.outline = "2px solid var(--jp-brand-color1, #1a62d6)";
  setTimeout(() => (cell.style.outline = was), 1500);
  return true;
}

/** Gives every badge of these tasks a ▶, and takes it away where it can do nothing. */
export function dress(tasks: Set<string>, why: string, run: (task: string) => void): void {
  for (const badge of document.querySelectorAll<HTMLElement>(BADGE)) {
    const task = badge.dataset.orchTask ?? "";
    const present = badge.querySelector<HTMLElement>(".orch-badge-run");
    if (!tasks.has(task) || why) {
      present?.remove();
      continue;
    }
    if (present) continue;
    const made = h("button", { type: "button", class: "orch-badge-run", title: "Run this task and what it needs", "aria-label": `Run ${task} and what it needs` }, "▶");
    made.addEventListener("click", () => run(task));
    badge.append(made);
  }
}

/** Takes every ▶ away again. */
export function undress(): void {
  for (const present of document.querySelectorAll(".orch-badge-run")) present.remove();
}
