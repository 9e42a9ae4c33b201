"""Makes foreign text safe to show, so that it can't begin a new line or move a terminal's cursor."""

from __future__ import annotations

import re

_NOT_IN_JSON = re.compile("[\x7f-\x9f\u061c\u200e\u200f\u2028-\u202e\u2066-\u2069\ufeff]")
"""Characters that JSON doesn't escape but terminals interpret: C1, line separators, text directions."""


def escape(text: str) -> str:
    """`text` with control characters escaped, as in `\\x1b`. One line stays one line."""
    if text.isprintable():
        return text
    return "".join(each if each.isprintable() else each.encode("unicode_escape").decode() for each in text)


def escape_json(text: str) -> str:
    """JSON in which these characters are escaped. Its meaning stays the same."""
    return _NOT_IN_JSON.sub(lambda found: f"\\u{ord(found[0]):04x}", text)
