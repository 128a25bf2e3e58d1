// Brings a page that was loaded again up to date: what the kernel has sent for cells which an earlier page executed,
// JupyterLab drops, so it comes this way. A model without a view; the outputs are changed in the notebook's own model,
// so what is saved is right too. Where a front end has no such model, nothing is asked for.

import type { CellOutputs, HelloAgain, Restore } from "./messages";

/** An output in the notebook format. */
interface Output {
  metadata?: { orch_notebook?: Record<string, unknown> };
}

interface Outputs {
  toJSON(): Output[];
  fromJSON(outputs: Output[]): void;
  set(index: number, output: Output): void;
}

export interface Cell {
  id: string;
  outputs?: Outputs;
  sharedModel: { getSource(): string };
}

interface Manager {
  kernel?: { clientId?: string };
  context?: { model?: { cells?: Iterable<Cell> } };
}

interface Model {
  widget_manager?: Manager;
  send(message: HelloAgain): void;
  on(name: string, callback: (message: Restore) => void): void;
  off(name: string, callback: (message: Restore) => void): void;
}

/** What ipywidgets tells when the kernel behind a model is gone, or may be. */
const ENDINGS = ["comm:close", "destroy", "comm_live_update"];

/** Says of what was under way that nothing moves there any more. */
const ended = (kernel: string) =>
  `[data-orch-kernel="${kernel}"]::after{content:"; its kernel has ended"}` +
  `[data-orch-task]:has([data-orch-kernel="${kernel}"])>:first-child{filter:grayscale(1)}`;

const marked = (output: Output, mark: string) => output.metadata?.orch_notebook?.[mark] !== undefined;

/** Puts what stands below a cell there. */
export function restore(cells: Iterable<Cell>, told: CellOutputs): void {
  const cell = [...cells].find((each) => each.id === told.cell);
  if (!cell?.outputs) return;
  const source = cell.sharedModel.getSource();
  const present = cell.outputs.toJSON();
  const outputs = told.outputs as Output[];
  const place = present.findIndex((output) => marked(output, told.mark));
  if (told.mark === "task") {
    // All that stands below a task cell is the task's; a cell that is none any more is left alone.
    if (!/^\s*%%task\b/.test(source)) return;
    const alike = place === 0 && present.length === outputs.length && JSON.stringify(present.slice(1)) === JSON.stringify(outputs.slice(1));
    if (alike) cell.outputs.set(0, outputs[0]!);
    else cell.outputs.fromJSON(outputs);
  } else if (place >= 0) cell.outputs.set(place, outputs[0]!);
  else if (/%flow\b/.test(source)) cell.outputs.fromJSON([...outputs, ...present]);
}

export default () => ({
  initialize({ model }: { model: Model }) {
    const manager = model.widget_manager;
    const page = manager?.kernel?.clientId ?? "";
    const sheet = document.createElement("style");
    document.head.append(sheet);
    let kernel = "";
    const take = (message: Restore) => {
      kernel = message.kernel;
      // What the kernel keeps up to date need not say as of when it is.
      sheet.textContent = `[data-orch-kernel="${kernel}"]{display:none}`;
      for (const cell of message.cells) if (cell.page !== page) restore(manager?.context?.model?.cells ?? [], cell);
    };
    const hello = () => {
      try {
        model.send({ type: "hello", page });
      } catch {
        // The kernel is gone, which has been said.
      }
    };
    const end = () => {
      if (kernel) sheet.textContent = ended(kernel);
      hello();
    };
    model.on("msg:custom", take);
    for (const name of ENDINGS) model.on(name, end);
    hello();
    return () => {
      end();
      model.off("msg:custom", take);
      for (const name of ENDINGS) model.off(name, end);
    };
  },
  render() {},
});
