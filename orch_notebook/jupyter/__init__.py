"""The face inside a notebook: magics, badges, the panel.  Loaded by ``%load_ext orch_notebook`` and not before."""
