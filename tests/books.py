"""Notebooks for tests, written as lists of cells."""

from __future__ import annotations

import json
import textwrap
from pathlib import Path


def write_book(path: Path, *cells: str | tuple[str, list[str]], kernel: str = "python3") -> Path:
    """Write a notebook; a cell is its source, or its source and its tags."""
    made = []
    for index, cell in enumerate(cells):
        source, tags = cell if isinstance(cell, tuple) else (cell, [])
        made.append(
            {
                "cell_type": "code",
                "id": f"c{index}",
                "source": textwrap.dedent(source).strip(),
                "metadata": {"tags": tags} if tags else {},
                "outputs": [],
                "execution_count": None,
            }
        )
    metadata = {"kernelspec": {"name": kernel, "display_name": kernel}, "language_info": {"name": "python"}}
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(json.dumps({"nbformat": 4, "nbformat_minor": 5, "metadata": metadata, "cells": made}))
    return path
