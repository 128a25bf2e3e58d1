// Light or dark paper. Every front end names its themes differently, but the paper itself tells.

/** Whether a colour as the browser computes it, `rgb(…)` or `rgba(…)`, is dark; null when it is see-through. */
export function isDark(colour: string): boolean | null {
  const [red = 0, green = 0, blue = 0, alpha = 1] = (colour.match(/[\d.]+/g) ?? []).map(Number);
  if (!colour.startsWith("rgb") || alpha < 0.5) return null;
  return 0.299 * red + 0.587 * green + 0.114 * blue < 128;
}

/** Keeps `data-orch-theme` of an element right while it is shown; returns what ends that. */
export function followTheme(element: HTMLElement): () => void {
  const dark = matchMedia("(prefers-color-scheme: dark)");
  const look = () => {
    let found: boolean | null = null;
    for (let paper = element.parentElement; paper && found === null; paper = paper.parentElement) {
      found = isDark(getComputedStyle(paper).backgroundColor);
    }
    element.dataset.orchTheme = (found ?? dark.matches) ? "dark" : "light";
  };
  // A theme's colours arrive some frames after its name, as a style sheet that loads.
  const soon = () => [0, 100, 500, 1500].forEach((delay) => setTimeout(look, delay));
  const watcher = new MutationObserver(soon);
  const watched = { attributes: true, attributeFilter: ["class", "style", "data-jp-theme-light", "data-jp-theme-name", "data-theme"] };
  watcher.observe(document.body, watched);
  watcher.observe(document.documentElement, watched);
  dark.addEventListener("change", soon);
  look();
  soon();
  return () => {
    watcher.disconnect();
    dark.removeEventListener("change", soon);
  };
}
