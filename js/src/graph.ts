// The diagram: drawn once per topology in the kernel, recoloured here. The SVG holds only what `views.draw` wrote, with
// every text escaped; it is parsed as XML, so nothing in it can become a script.

import { Camera } from "./camera";
import { button, h, setText } from "./dom";
import { clip, elapsed } from "./format";
import { reach } from "./plan";
import type { Store } from "./store";
import type { View } from "./views";

interface Box {
  group: SVGGElement;
  rect: SVGRectElement | null;
  glyph: Element;
  name: string;
  label: string;
  sub: Element;
  room: number;
}

interface Line {
  group: Element;
  from: number;
  to: number;
}

export class Graph implements View {
  readonly name = "Graph";
  readonly element: HTMLElement;
  private readonly place = h("div", { class: "orch-canvas" });
  private readonly reason = h("div", { class: "orch-reason orch-dim" });
  private readonly camera = new Camera(this.place);
  private boxes: Box[] = [];
  private lines: Line[] = [];
  private reachable = 0;
  private drawn: unknown = null;

  constructor(private readonly store: Store) {
    const tool = (words: string, label: string, act: () => void) => {
      const made = button(words, "orch-tool", act);
      made.setAttribute("aria-label", label);
      made.title = label;
      return made;
    };
    const tools = h(
      "div",
      { class: "orch-tools", role: "group", "aria-label": "Zoom" },
      tool("+", "Zoom in", () => this.camera.zoom(1.25)),
      tool("−", "Zoom out", () => this.camera.zoom(0.8)),
      tool("Fit", "Fit: show all of the diagram", () => this.camera.fit()),
    );
    this.element = h("div", { class: "orch-graph" }, this.place, tools, this.reason);
    this.place.addEventListener("click", (event) => this.choose((event.target as Element).closest(".node")));
    this.place.addEventListener("pointerover", (event) => this.tell((event.target as Element).closest(".edge")));
    this.element.addEventListener("keydown", (event) => this.key(event));
  }

  /** Puts the drawing in place where the wiring changed, and colours it. */
  draw(): void {
    const { topology } = this.store;
    if (topology !== this.drawn) this.replace();
    this.update([], this.boxes.map((_, index) => index));
  }

  private replace(): void {
    const { topology } = this.store;
    this.drawn = topology;
    this.place.replaceChildren();
    this.boxes = [];
    this.lines = [];
    this.camera.look(null);
    if (!topology) return;
    if (!topology.svg) {
      this.place.append(h("p", { class: "orch-dim" }, topology.excuse));
      return;
    }
    const parsed = new DOMParser().parseFromString(topology.svg, "image/svg+xml").documentElement;
    if (parsed.nodeName !== "svg" || parsed.querySelector("script, foreignObject")) return;
    const svg = document.importNode(parsed, true) as unknown as SVGSVGElement;
    svg.setAttribute("role", "group");
    svg.setAttribute("aria-label", `Diagram of ${topology.flow}`);
    this.boxes = [...svg.querySelectorAll<SVGGElement>(".node")].map((group) => ({
      group,
      rect: group.querySelector("rect"),
      glyph: group.querySelector(".glyph")!,
      name: group.querySelector("title")?.textContent ?? "",
      label: group.querySelector(".name")?.textContent ?? "",
      sub: group.querySelector(".sub")!,
      room: Number(group.dataset.room),
    }));
    this.lines = [...svg.querySelectorAll(".edge")].map((group) => ({
      group,
      from: Number(group.getAttribute("data-from")),
      to: Number(group.getAttribute("data-to")),
    }));
    this.reachable = 0;
    for (const { group } of this.boxes) {
      group.setAttribute("role", "button");
      // What can be seen is its name: the tooltip would be read as a part of it, and so would two texts as one word.
      group.querySelector("title")?.remove();
      group.querySelector(".sub")?.before(" ");
    }
    this.place.append(svg);
    this.camera.look(svg);
  }

  update(_: number[], nodes: number[]): void {
    const { topology, nodes: faces } = this.store;
    for (const index of nodes) {
      const box = this.boxes[index];
      const face = faces[index];
      if (!box || !face) continue;
      const classes = ["node", face.tone ? `orch-tone-${face.tone}` : "", face.sub ? "" : "bare"];
      box.group.setAttribute("class", classes.filter(Boolean).join(" "));
      box.glyph.setAttribute("d", topology?.shapes[face.tone || "pending"] ?? "");
      this.caption(box, index);
      const unseen = [box.name === box.label ? "" : box.name, face.tone === face.sub ? "" : face.tone];
      box.group.setAttribute("aria-description", unseen.filter(Boolean).join(", "));
    }
    if (nodes.length) this.mark();
  }

  tick(): void {
    this.store.nodes.forEach((face, index) => {
      const box = this.boxes[index];
      if (box && face.running_since !== null) this.caption(box, index);
    });
  }

  /** Frames the node somebody looks at, and draws out what leads to it and what follows from it. */
  mark(): void {
    const node = this.store.topology?.nodes.findIndex((members) => members.includes(this.store.selected)) ?? -1;
    const next = new Map<number, number[]>();
    const before = new Map<number, number[]>();
    for (const { from, to } of node < 0 ? [] : this.lines) {
      next.set(from, [...(next.get(from) ?? []), to]);
      before.set(to, [...(before.get(to) ?? []), from]);
    }
    const up = node < 0 ? new Set<number>() : reach(node, (at) => before.get(at) ?? []);
    const down = node < 0 ? new Set<number>() : reach(node, (at) => next.get(at) ?? []);
    this.boxes.forEach(({ group }, index) => {
      group.classList.toggle("selected", index === node);
      group.classList.toggle("near", up.has(index) || down.has(index));
      group.setAttribute("aria-pressed", String(index === node));
      group.setAttribute("tabindex", index === this.reachable ? "0" : "-1");
    });
    for (const { group, from, to } of this.lines) {
      const leads = up.has(from) && (up.has(to) || to === node);
      const follows = down.has(to) && (down.has(from) || from === node);
      group.classList.toggle("hot", leads || follows);
    }
  }

  /** Says below the drawing what the line under the pointer carries. */
  private tell(edge: Element | null): void {
    setText(this.reason, edge?.querySelector("title")?.textContent ?? "");
  }

  private caption(box: Box, index: number): void {
    const face = this.store.nodes[index]!;
    const text = face.running_since === null ? face.sub : elapsed(face.running_since, null, this.store.now());
    const shown = clip(text, box.room);
    if (box.sub.textContent !== shown) box.sub.textContent = shown;
  }

  private choose(group: Element | null): void {
    const index = this.boxes.findIndex((box) => box.group === group);
    const members = this.store.topology?.nodes[index];
    if (!members?.length) return;
    this.reachable = index;
    // Of a group the task that most needs a look: one that failed, else one that runs, else its first.
    const tones = ["failed", "crashed", "retrying", "running"];
    const urgent = tones.map((tone) => members.find((member) => this.store.tasks[member]?.tone === tone));
    this.store.select(urgent.find((member) => member !== undefined) ?? members[0]!);
  }

  private key(event: KeyboardEvent): void {
    const zooms: Record<string, () => void> = {
      "+": () => this.camera.zoom(1.25),
      "=": () => this.camera.zoom(1.25),
      "-": () => this.camera.zoom(0.8),
      "0": () => this.camera.fit(),
    };
    const steps: Record<string, number> = { ArrowRight: 1, ArrowDown: 1, ArrowLeft: -1, ArrowUp: -1 };
    const at = this.boxes.findIndex((box) => box.group === document.activeElement);
    const step = at < 0 ? undefined : steps[event.key];
    if (zooms[event.key] && !event.ctrlKey && !event.metaKey) zooms[event.key]!();
    else if (step !== undefined) this.focus(Math.min(this.boxes.length - 1, Math.max(0, at + step)));
    else if (at >= 0 && (event.key === "Enter" || event.key === " ")) this.choose(this.boxes[at]!.group);
    else return;
    // Jupyter's own shortcuts must not see the key.
    event.preventDefault();
    event.stopPropagation();
  }

  private focus(index: number): void {
    this.reachable = index;
    this.mark();
    const { group, rect } = this.boxes[index]!;
    group.focus({ preventScroll: true });
    if (rect) this.camera.reveal({ x: rect.x.baseVal.value, y: rect.y.baseVal.value, width: rect.width.baseVal.value, height: rect.height.baseVal.value });
  }
}
