"""How large a recorded value may be: a row is written in one piece while the whole instance waits."""

from __future__ import annotations

from outlast.core.errors import NotSerializable

OUTPUT_BYTES_MAX = 16 * 1024 * 1024
"""Enough for the largest body in base64, and some more."""

_limit = OUTPUT_BYTES_MAX


def limit_outputs(bytes_max: int) -> None:
    """Set the bound, once, before anything runs."""
    global _limit
    _limit = bytes_max


def check_size(size: int, of: str) -> None:
    """Raise NotSerializable, with the remedy, if `size` bytes of JSON are too many. `of` names them."""
    if size > _limit:
        raise NotSerializable(
            f"{of} is {size} bytes of JSON, and at most {_limit} are recorded: keep it elsewhere (in "
            "Storage, in a table) and return where it is, or raise OUTLAST_OUTPUT_BYTES_MAX"
        )
