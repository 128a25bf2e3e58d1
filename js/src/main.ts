// Where anywidget meets the panel. The factory form, because the models that `initialize` and `render` are given are
// different objects: what several views share must hang on something else.

import type { FromBrowser, FromKernel } from "./messages";
import { showPanel } from "./panel";
import { Store } from "./store";

interface Model {
  send(message: FromBrowser): void;
  on(name: "msg:custom", callback: (message: FromKernel) => void): void;
  off(name: "msg:custom", callback: (message: FromKernel) => void): void;
}

export default () => {
  let store: Store;
  return {
    initialize({ model }: { model: Model }) {
      store = new Store(() => model.send({ type: "hello" }));
      store.listen((change) => {
        if (change.kind === "selected") model.send({ type: "select", task: store.selectedName });
      });
      const take = (message: FromKernel) => store.take(message);
      model.on("msg:custom", take);
      store.hello();
      return () => model.off("msg:custom", take);
    },
    render({ model, el }: { model: Model; el: HTMLElement }) {
      return showPanel(el, store, (message) => model.send(message));
    },
  };
};
