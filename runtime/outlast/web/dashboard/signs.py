"""How a status looks: its icon, its tone and its word."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

SIGNS = {
    "SUCCESS": ("check", "good"),
    "ERROR": ("cross", "bad"),
    "EXHAUSTED": ("flame", "bad"),
    "CANCELLED": ("slash", "quiet"),
    "PENDING": ("play", "live"),
    "RUNNING": ("play", "live"),
    "ENQUEUED": ("queue", "wait"),
    "SLEEPING": ("moon", "wait"),
    "RECEIVING": ("inbox", "wait"),
    "WAITING": ("hourglass", "wait"),
    "HELD": ("pause", "warn"),
    "PAUSED": ("pause", "warn"),
    "active": ("check", "good"),
    "paused": ("pause", "warn"),
    "orphaned": ("unlink", "warn"),
    "ended": ("slash", "quiet"),
    "unusable": ("cross", "bad"),
    "done": ("check", "good"),
    "refused": ("slash", "warn"),
    "failed": ("cross", "bad"),
    "skipped": ("slash", "quiet"),
    "late": ("hourglass", "warn"),
    "missed": ("cross", "warn"),
    "alive": ("check", "good"),
    "lost": ("cross", "bad"),
    "left": ("slash", "quiet"),
    "built_in": ("check", "quiet"),
    "served": ("check", "good"),
    "not_served": ("unlink", "warn"),
}
"""Icon and tone of each status that is shown: it is never told by its colour alone."""


def sign(status: str) -> Mapping[str, str]:
    """How a status looks: `icon`, `tone` and the `word`."""
    icon, tone = SIGNS.get(status, ("dot", "quiet"))
    return {"icon": icon, "tone": tone, "word": status.replace("_", " ").capitalize()}


def standing(row: Mapping[str, Any]) -> str:
    """The status that is shown of a workflow: a hold says more than PENDING does."""
    waiting = str(row.get("waiting_on") or "")
    if row["status"] in ("PENDING", "ENQUEUED"):
        if waiting.startswith("paused"):
            return "PAUSED"
        if waiting.startswith("held"):
            return "HELD"
        if row["status"] == "PENDING" and waiting:
            return "SLEEPING" if waiting.startswith("sleep") else "WAITING"
        return "RUNNING" if row["status"] == "PENDING" else "ENQUEUED"
    return str(row["status"])
