"""Functions as tasks and flows."""
