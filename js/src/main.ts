// Where anywidget meets the panel. The factory form, because the models that `initialize` and `render` are given are
// different objects: what several views share must hang on something else.

import { Link } from "./link";
import type { FromBrowser, FromKernel } from "./messages";
import { showPanel } from "./panel";
import { Store } from "./store";

interface Model {
  send(message: FromBrowser): void;
  on(name: string, callback: (message: FromKernel) => void): void;
  off(name: string, callback: (message: FromKernel) => void): void;
}

/** What ipywidgets tells when the kernel behind a model is gone. */
const ENDINGS = ["comm:close", "destroy"];

export default () => {
  let store: Store;
  return {
    initialize({ model }: { model: Model }) {
      const link = new Link((message) => model.send(message));
      store = new Store(link);
      store.listen((change) => {
        if (change.kind === "selected") link.say({ type: "select", task: store.selectedName });
      });
      const take = (message: FromKernel) => store.take(message);
      const end = () => link.end();
      model.on("msg:custom", take);
      for (const name of ENDINGS) model.on(name, end);
      store.hello();
      return () => {
        link.end();
        model.off("msg:custom", take);
        for (const name of ENDINGS) model.off(name, end);
      };
    },
    render({ el }: { el: HTMLElement }) {
      return showPanel(el, store);
    },
  };
};
