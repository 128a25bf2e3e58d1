"""Tests of the ``orch`` command."""
