"""Addresses of pages."""

from __future__ import annotations

from urllib.parse import quote


def part(key: str) -> str:
    """A key as a part of a path."""
    return quote(key, safe="")


def workflow_url(workflow_id: str) -> str:
    """The page of a workflow."""
    return f"/dashboard/workflows/{part(workflow_id)}"
