"""Declared versions of functions, as rows store them: `2`. Other functions have the digest of their file."""

from __future__ import annotations

NUMBER_MAX = 999_999
"""A digest is longer than any of these numbers."""
_DIGITS_MAX = len(str(NUMBER_MAX))
FIRST = 1
"""The version of a function that declares none."""


def number_of(version: str | None) -> int | None:
    """The declared version in a row; None if the row has the digest of a file, or nothing yet."""
    if version is None or len(version) > _DIGITS_MAX or not version.isdecimal():
        return None
    return int(version)


def row_version(number: int | None, file_version: str | None) -> str | None:
    """The version in the row of a new workflow: the declared one, or that of its file."""
    return file_version if number is None else str(number)


def shown(version: str | None) -> str:
    """The version as part of a sentence."""
    number = number_of(version)
    return f"version {number}" if number is not None else f"version {version or '?'} of its file"


def missing_version(function: str, version: str | None, newest: int) -> str:
    """Why a workflow can't go on: its own version isn't served, only `newest`."""
    own = number_of(version) or FIRST
    return f"version {own} of {function} is not served; its newest is version {newest}"
