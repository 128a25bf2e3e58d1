"""The faces inside Jupyter: magics, live display, widgets."""
