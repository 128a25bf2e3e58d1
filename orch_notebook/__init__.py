"""Your notebook is the pipeline.

Load the extension in any notebook on the stock IPython kernel, mark cells with ``%%task``, run them with ``%flow run``,
and ``%flow promote`` the same notebook to a scheduled flow.  Importing this package is cheap: the parts that need
Jupyter, SQLite or papermill are loaded when they are first used.
"""

__version__ = "0.1.0"
