"""The tests, laid out like the floors of the package; ``run.py`` sets everything up and runs them."""
