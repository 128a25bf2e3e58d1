// Looking at a drawing that is larger than its place: move, come nearer, see it all. The drawing itself is never laid
// out anew; only the part of it that is shown changes.

/** A drawing's words can be read down to this size. */
const READABLE = 0.55;
/** Rather than cut it off, a drawing is shown whole down to this size; it is near enough to be recognised. */
const WHOLE = 0.42;
const NEAREST = 2.5;
const TALLEST = 520;
const SHORTEST = 120;

export class Camera {
  private width = 0;
  private height = 0;
  private x = 0;
  private y = 0;
  private scale = 1;
  private isMoved = false;
  private svg: SVGSVGElement | null = null;
  private readonly watcher: ResizeObserver | null;

  constructor(private readonly place: HTMLElement) {
    this.watcher = typeof ResizeObserver === "undefined" ? null : new ResizeObserver(() => (this.isMoved ? this.show() : this.begin()));
    this.watcher?.observe(place);
    place.addEventListener("wheel", (event) => this.wheel(event), { passive: false });
    place.addEventListener("pointerdown", (event) => this.grab(event));
  }

  close(): void {
    this.watcher?.disconnect();
  }

  look(svg: SVGSVGElement | null): void {
    this.svg = svg;
    if (!svg) return;
    this.width = Number(svg.getAttribute("width")) || 1;
    this.height = Number(svg.getAttribute("height")) || 1;
    svg.setAttribute("width", "100%");
    svg.setAttribute("height", "100%");
    this.isMoved = false;
    this.begin();
  }

  /** As one meets it: whole where it can be read so, else as small as it can be read, from its top. */
  private begin(): void {
    const [width] = this.room();
    if (!this.svg || !width) return;
    const whole = Math.min(width / this.width, TALLEST / this.height);
    this.scale = whole < WHOLE ? READABLE : Math.min(1, whole);
    this.place.style.height = `${Math.min(TALLEST, Math.max(SHORTEST, Math.ceil(this.height * this.scale)))}px`;
    this.x = (this.width - width / this.scale) / 2;
    this.y = Math.min(0, (this.height - this.room()[1] / this.scale) / 2);
    this.show();
  }

  /** All of it, however small. */
  fit(): void {
    const [width, height] = this.room();
    if (!width) return;
    this.scale = Math.min(1, width / this.width, height / this.height);
    this.x = (this.width - width / this.scale) / 2;
    this.y = (this.height - height / this.scale) / 2;
    this.isMoved = true;
    this.show();
  }

  zoom(factor: number, atX = 0.5, atY = 0.5): void {
    const [width, height] = this.room();
    const smallest = Math.min(READABLE, width / this.width, height / this.height);
    const scale = Math.min(NEAREST, Math.max(smallest, this.scale * factor));
    // What lies under the pointer stays there.
    this.x += (atX * width) / this.scale - (atX * width) / scale;
    this.y += (atY * height) / this.scale - (atY * height) / scale;
    this.scale = scale;
    this.isMoved = true;
    this.show();
  }

  /** Moves so far that a box of the drawing can be seen. */
  reveal(box: { x: number; y: number; width: number; height: number }): void {
    const [width, height] = this.room().map((length) => length / this.scale) as [number, number];
    const into = (at: number, from: number, length: number, room: number) =>
      from < at ? from - 10 : from + length > at + room ? from + length - room + 10 : at;
    const [x, y] = [into(this.x, box.x, box.width, width), into(this.y, box.y, box.height, height)];
    if (x === this.x && y === this.y) return;
    [this.x, this.y, this.isMoved] = [x, y, true];
    this.show();
  }

  private room(): [number, number] {
    return [this.place.clientWidth, this.place.clientHeight];
  }

  private show(): void {
    const [width, height] = this.room();
    if (!this.svg || !width) return;
    // Never so far that nothing of it can be seen.
    const keep = (at: number, size: number, room: number) => Math.min(size - 40, Math.max(40 - room, at));
    this.x = keep(this.x, this.width, width / this.scale);
    this.y = keep(this.y, this.height, height / this.scale);
    this.svg.setAttribute("viewBox", [this.x, this.y, width / this.scale, height / this.scale].map((part) => part.toFixed(1)).join(" "));
  }

  private wheel(event: WheelEvent): void {
    // The plain wheel scrolls the notebook; pinching, or the wheel with Ctrl, comes nearer.
    if (!event.ctrlKey && !event.metaKey) return;
    event.preventDefault();
    const box = this.place.getBoundingClientRect();
    this.zoom(Math.exp(-event.deltaY / 300), (event.clientX - box.left) / box.width, (event.clientY - box.top) / box.height);
  }

  private grab(event: PointerEvent): void {
    if (event.button || !this.svg) return;
    const [fromX, fromY, x, y] = [event.clientX, event.clientY, this.x, this.y];
    let isDragged = false;
    const move = (now: PointerEvent) => {
      const [right, down] = [now.clientX - fromX, now.clientY - fromY];
      if (!isDragged && Math.hypot(right, down) < 4) return;
      if (!isDragged) this.place.setPointerCapture(event.pointerId);
      isDragged = this.isMoved = true;
      this.x = x - right / this.scale;
      this.y = y - down / this.scale;
      this.show();
    };
    const end = () => {
      this.place.removeEventListener("pointermove", move);
      this.place.removeEventListener("pointerup", end);
      this.place.removeEventListener("pointercancel", end);
      // The click that ends a drag chooses nothing.
      if (isDragged) this.place.addEventListener("click", (click) => click.stopPropagation(), { capture: true, once: true });
    };
    this.place.addEventListener("pointermove", move);
    this.place.addEventListener("pointerup", end);
    this.place.addEventListener("pointercancel", end);
  }
}
