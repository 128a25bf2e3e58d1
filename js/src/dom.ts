// Making elements. Texts always go in as text, never as markup: they come from users.

type Child = Node | string | null | false;

export function h<K extends keyof HTMLElementTagNameMap>(
  tag: K,
  attributes: Record<string, string | number | boolean> = {},
  ...children: Child[]
): HTMLElementTagNameMap[K] {
  const element = document.createElement(tag);
  for (const [name, value] of Object.entries(attributes)) {
    if (value === true) element.setAttribute(name, "");
    else if (value !== false) element.setAttribute(name, String(value));
  }
  element.append(...children.filter((child): child is Node | string => child !== null && child !== false));
  return element;
}

const SVG = "http://www.w3.org/2000/svg";

/** A tone's shape; the word beside it says what it means, so screen readers skip it. */
export function shape(path: string, tone: string): SVGSVGElement {
  const svg = document.createElementNS(SVG, "svg");
  svg.setAttribute("viewBox", "0 0 12 12");
  svg.setAttribute("class", `orch-shape orch-shape-${tone}`);
  svg.setAttribute("aria-hidden", "true");
  const line = document.createElementNS(SVG, "path");
  line.setAttribute("d", path);
  svg.append(line);
  return svg;
}

/** A state as a rounded label: shape, words, colour. */
export function pill(shapes: Record<string, string>, tone: string, words: string): HTMLElement {
  return h("span", { class: `orch-pill orch-tone-${tone}` }, shape(shapes[tone] ?? "", tone), h("span", {}, words));
}

/** Sets an element's text only when it changed, so that selections and screen readers are left alone. */
export function setText(element: Element, text: string): void {
  if (element.textContent !== text) element.textContent = text;
}

/** A button with a shape before its words, if it has one. */
export function button(words: string, kind: string, act: () => void, path = "", tone = "run"): HTMLButtonElement {
  const made = h("button", { type: "button", class: `orch-button ${kind}`.trim() }, path ? shape(path, tone) : null, h("span", {}, words));
  made.addEventListener("click", () => made.getAttribute("aria-disabled") !== "true" && act());
  return made;
}

/** Lets a button be used, or not: it stays in reach of the keyboard, so that it can say why not. */
export function allow(element: HTMLButtonElement, why: string, title = ""): void {
  if (why) element.setAttribute("aria-disabled", "true");
  else element.removeAttribute("aria-disabled");
  const said = why || title;
  if (element.title !== said) element.title = said;
}

/** Keys typed here are not Jupyter's commands. */
export function keepKeys(element: HTMLElement): void {
  element.addEventListener("keydown", (event) => event.stopPropagation());
  // Lab takes an element with this for a place where one types, and leaves its shortcuts.
  element.setAttribute("data-lm-suppress-shortcuts", "true");
}
