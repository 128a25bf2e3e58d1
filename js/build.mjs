// Bundles what the widgets read: the panel's script and style sheet, and the script of the model without a view.
import { build } from "esbuild";
import { fileURLToPath } from "node:url";

const here = fileURLToPath(new URL(".", import.meta.url));
const target = process.argv[2] ?? fileURLToPath(new URL("../orch_notebook/jupyter/widgets/static", import.meta.url));

await build({
  absWorkingDir: here,
  entryPoints: [
    { in: "src/main.ts", out: "panel" },
    { in: "src/panel.css", out: "panel" },
    { in: "src/restore.ts", out: "restore" },
  ],
  outdir: target,
  bundle: true,
  minify: true,
  format: "esm",
  // Class fields as they are: written out for older browsers they cost 5 KB.
  target: "es2022",
  charset: "utf8",
  logLevel: "warning",
});
