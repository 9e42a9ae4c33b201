"""What a page of a listing is."""

from __future__ import annotations

from typing import Any, NamedTuple


class Page(NamedTuple):
    """Rows of a listing, in its order."""

    rows: list[dict[str, Any]]
    more: bool
    """Whether more rows follow. A page that reaches its limit of bytes ends early."""
