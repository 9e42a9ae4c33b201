"""`patched(name)`: the names of its records."""

from __future__ import annotations

import re

from outlast.core.kinds import PATCH
from outlast.core.records import StepRecord

NAME = re.compile(r"[A-Za-z0-9_.-]{1,100}")
_RECORD = "patch "


def patch_of(record_name: str) -> str:
    """The name of the change, from its record's name."""
    return record_name.removeprefix(_RECORD)


def patch_record(name: str, place: int, *, answer: bool) -> StepRecord:
    """The record of what `patched(name)` answered after the completion at `place`.

    It has no other content.
    """
    return StepRecord(
        f"patch:{name}",
        f"{_RECORD}{name}",
        "true" if answer else "false",
        attempts=0,
        completion_order=place,
        kind=PATCH,
    )
