"""Tests of the floor ``promotion``."""
