"""`patched`: change the code of workflows that are under way."""

from __future__ import annotations

from outlast.core.errors import UsageError
from outlast.core.patches import NAME
from outlast.sdk.running import line_here


def patched(name: str) -> bool:
    """Whether a workflow goes the new way of a change that is called `name`.

    False only where its records show that it has passed this place before the change; True for all that come
    here from now on. The answer is recorded, and is the same wherever and whenever this workflow asks again.

    In a workflow's body alone. `name` has letters, digits and `_.-`, at most 100. Raises UsageError.
    """
    line = line_here("patched")
    if line is None:
        raise UsageError(
            "patched is asked in the body of a workflow: steps and handlers run the newest code anyway"
        )
    if not isinstance(name, str) or NAME.fullmatch(name) is None:
        raise UsageError(f"patched takes a name of letters, digits and _.-, at most 100, not {name!r}")
    return line.body.patched(name)
