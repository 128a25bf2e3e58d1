// The diagram: drawn once per topology in the kernel, recoloured here. The SVG holds only what `views.draw` wrote, with
// every text escaped; it is parsed as XML, so nothing in it can become a script.

import { clip, elapsed } from "./format";
import type { Store } from "./store";

interface Box {
  group: SVGGElement;
  glyph: Element;
  name: string;
  sub: Element;
  room: number;
}

export class Graph {
  readonly element = document.createElement("div");
  private boxes: Box[] = [];
  private edges: Element[] = [];
  private reachable = 0;

  constructor(private readonly store: Store) {
    this.element.className = "orch-graph";
    this.element.addEventListener("click", (event) => this.choose((event.target as Element).closest(".node")));
    this.element.addEventListener("keydown", (event) => this.key(event));
  }

  /** Puts the drawing in place; only when the wiring changed. */
  draw(): void {
    const { topology } = this.store;
    this.element.replaceChildren();
    this.boxes = [];
    if (!topology) return;
    if (!topology.svg) {
      const excuse = document.createElement("p");
      excuse.className = "orch-dim";
      excuse.textContent = topology.excuse;
      this.element.append(excuse);
      return;
    }
    const parsed = new DOMParser().parseFromString(topology.svg, "image/svg+xml").documentElement;
    if (parsed.nodeName !== "svg" || parsed.querySelector("script, foreignObject")) return;
    const svg = document.importNode(parsed, true) as unknown as SVGSVGElement;
    svg.setAttribute("role", "group");
    svg.setAttribute("aria-label", `Diagram of ${topology.flow}`);
    svg.style.setProperty("--orch-natural", `${svg.getAttribute("width")}px`);
    this.element.append(svg);
    this.boxes = [...svg.querySelectorAll<SVGGElement>(".node")].map((group) => ({
      group,
      glyph: group.querySelector(".glyph")!,
      name: group.querySelector("title")?.textContent ?? "",
      sub: group.querySelector(".sub")!,
      room: Number(group.dataset.room),
    }));
    this.edges = [...svg.querySelectorAll(".edge")];
    this.reachable = 0;
    for (const { group } of this.boxes) group.setAttribute("role", "button");
    this.paint(this.boxes.map((_, index) => index));
    this.mark();
  }

  paint(indexes: number[]): void {
    const { topology, nodes } = this.store;
    for (const index of indexes) {
      const box = this.boxes[index];
      const face = nodes[index];
      if (!box || !face) continue;
      const classes = ["node", face.tone ? `orch-tone-${face.tone}` : "", face.sub ? "" : "bare"];
      box.group.setAttribute("class", classes.filter(Boolean).join(" "));
      box.glyph.setAttribute("d", topology?.shapes[face.tone || "pending"] ?? "");
      this.caption(box, index);
      box.group.setAttribute("aria-label", [box.name, face.tone, face.sub].filter(Boolean).join(", "));
    }
    this.mark();
  }

  tick(): void {
    this.store.nodes.forEach((face, index) => {
      const box = this.boxes[index];
      if (box && face.running_since !== null) this.caption(box, index);
    });
  }

  /** Frames the node somebody looks at and the lines that lead to and from it. */
  mark(): void {
    const node = this.store.topology?.nodes.findIndex((members) => members.includes(this.store.selected)) ?? -1;
    this.boxes.forEach(({ group }, index) => {
      group.classList.toggle("selected", index === node);
      group.setAttribute("aria-pressed", String(index === node));
      group.setAttribute("tabindex", index === this.reachable ? "0" : "-1");
    });
    for (const edge of this.edges) {
      const ends = [edge.getAttribute("data-from"), edge.getAttribute("data-to")];
      edge.classList.toggle("hot", node >= 0 && ends.includes(String(node)));
    }
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
    const at = this.boxes.findIndex((box) => box.group === document.activeElement);
    if (at < 0) return;
    const steps: Record<string, number> = { ArrowRight: 1, ArrowDown: 1, ArrowLeft: -1, ArrowUp: -1 };
    const step = steps[event.key];
    if (step !== undefined) {
      this.reachable = Math.min(this.boxes.length - 1, Math.max(0, at + step));
      this.mark();
      this.boxes[this.reachable]!.group.focus();
    } else if (event.key === "Enter" || event.key === " ") this.choose(this.boxes[at]!.group);
    else return;
    // Jupyter's own shortcuts must not see the key.
    event.preventDefault();
    event.stopPropagation();
  }
}
