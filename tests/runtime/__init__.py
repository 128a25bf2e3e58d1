"""Tests of the floor ``runtime``."""
