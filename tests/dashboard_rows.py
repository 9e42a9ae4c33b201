"""Rows for every view of the dashboard, made by SQL: so many that a busy year would have left them."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import psycopg

ONE = "w1"
"""The workflow that has steps, events, messages, children and acts."""
BULK = "outlast.bulk:b1"
_TEXT = Path(__file__).with_suffix(".sql").read_text("utf-8")


def fill(connection: psycopg.Connection[Any], n: int) -> None:
    """Of each kind one with `n` 1, a hundred with 100, and with a million what a busy year leaves."""
    connection.execute(b"set synchronous_commit = off")
    connection.execute(_TEXT.replace("$n", str(n)).encode())
    connection.execute(b"vacuum analyze")
