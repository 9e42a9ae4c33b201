"""Many children of one workflow: how many start together, and how many there may be."""

from __future__ import annotations

BLOCK = 1_000
"""So many start in one commit."""

LIST_MAX = 10_000
"""So many items a list may have: a body holds it, and makes it anew on each replay."""
