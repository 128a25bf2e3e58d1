"""Tests of the floor ``jupyter``."""
