"""Versions that functions declare, as rows say them: `2`, where others have the digest of their file."""

from __future__ import annotations

NUMBER_MAX = 999_999
"""Digests are longer than any number."""
_DIGITS_MAX = len(str(NUMBER_MAX))
FIRST = 1
"""The version of a function that declares none."""


def number_of(version: str | None) -> int | None:
    """The declared version that a row bears; None if it bears that of its file, or none yet."""
    if version is None or len(version) > _DIGITS_MAX or not version.isdecimal():
        return None
    return int(version)


def row_version(number: int | None, file_version: str | None) -> str | None:
    """What the row of a new workflow bears: the declared version, or that of its file."""
    return file_version if number is None else str(number)


def shown(version: str | None) -> str:
    """It in a sentence."""
    number = number_of(version)
    return f"version {number}" if number is not None else f"version {version or '?'} of its file"


def missing_version(function: str, version: str | None, newest: int) -> str:
    """Why a workflow can't go on where its own version isn't served; `newest` is."""
    own = number_of(version) or FIRST
    return f"version {own} of {function} is not served; its newest is version {newest}"
