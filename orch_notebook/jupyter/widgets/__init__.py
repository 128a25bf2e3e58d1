"""The panel: a flow's controls and live detail, as a Jupyter widget.

In: a :class:`PanelSource`, which knows the flow, its latest run and how to start and cancel it.  Out: a widget that
every Jupyter front end can show.  It is for controls and live detail and never the only place where something is shown.
"""

from orch_notebook.jupyter.widgets.panel import FlowPanel
from orch_notebook.jupyter.widgets.sources import Given, Kept, Page, PanelSource, Question

__all__ = ["FlowPanel", "Given", "Kept", "Page", "PanelSource", "Question"]
