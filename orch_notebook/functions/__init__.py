"""Functions as tasks and flows: what ``@task`` and ``@flow`` make of a function, and how their runs go."""
