"""Every point at which a worker, a run process or a kernel may be killed; see `cases`.

``python -m tests.crashes`` kills at all of them, on SQLite and on PostgreSQL; the suite plays a few.
"""
