"""What a page of a listing is."""

from __future__ import annotations

from typing import Any, NamedTuple


class Page(NamedTuple):
    """Rows of a listing, in its order."""

    rows: list[dict[str, Any]]
    more: bool
    """Whether others come after these. A page ends early where it is as large as one may be."""
