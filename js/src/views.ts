// What every tab of the panel is: something that draws what the store knows. A tab out of sight is told nothing; it
// draws anew when it is shown.

export interface View {
  readonly name: string;
  readonly element: HTMLElement;
  /** Draws everything: the wiring is new, or the tab has come into sight. */
  draw(): void;
  /** Draws these tasks and nodes (by number) anew. */
  update(tasks: number[], nodes: number[]): void;
  /** Shows which task somebody looks at. */
  mark(): void;
  /** Lets growing times grow. */
  tick(): void;
  /** Takes an answer to what this page asked. */
  answer?(data: unknown, error: string): void;
}
