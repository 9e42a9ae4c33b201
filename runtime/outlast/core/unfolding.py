"""How many values JSON may have: `[[],[],…` takes thirty times its length when it is read."""

from __future__ import annotations

from outlast.core.errors import TooManyValues

VALUES_MAX = 100_000
_STRUCTURE = (b"[", b"{", b",", b":")
_limit = VALUES_MAX


def limit_values(values_max: int) -> None:
    """Set the bound, once, before anything runs."""
    global _limit
    _limit = values_max


def check_values(text: bytes) -> int:
    """About how many values the JSON has. Raises TooManyValues.

    Brackets, commas and colons are counted, which is cheap, and before anything is read. Only if there are
    too many, those in texts are left out.
    """
    count = _count(text)
    if count > _limit:
        count = _count_outside_texts(text)
    # guard: unbounded-unfolding
    if count > _limit:
        raise TooManyValues(
            f"the body has more than {_limit} values (brackets, commas and colons of its JSON are counted): "
            "send less at once, or one text that is read by parts"
        )
    return count


def count_structure(text: str) -> int:
    """The number of brackets, commas and colons, those within strings too: an upper bound of the values."""
    return sum(map(text.count, "[{,:"))


def _count(text: bytes) -> int:
    return sum(map(text.count, _STRUCTURE))


def _count_outside_texts(text: bytes) -> int:
    """The same without those within strings. Each string counts as a name or a value."""
    if b"\\" in text:
        text = text.replace(b"\\\\", b"").replace(b'\\"', b"")
    if text.count(b'"') > 4 * (_limit + 1):
        return _limit + 1
    return sum(map(_count, text.split(b'"')[::2]))
