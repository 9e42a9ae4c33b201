"""Why a workflow is held: what its code does, what is recorded, and how to mend it."""

from __future__ import annotations

import re
from collections.abc import Collection, Mapping
from typing import Any, NamedTuple

from pydantic_core import from_json, to_json

from outlast.core.errors import NonDeterminism
from outlast.core.failures import MESSAGE_CHARS_MAX
from outlast.core.stops import Diverged
from outlast.core.storable import clean_text
from outlast.core.versions import shown

PAUSED = "paused"
"""The reason of a hold that somebody placed. Other holds end by themselves, when other code comes."""

OUTPUT_MISMATCH = "output_mismatch"
INPUT_MISMATCH = "input_mismatch"
FUNCTION_MISSING = "function_missing"
REASONS = (PAUSED, NonDeterminism.code, OUTPUT_MISMATCH, INPUT_MISMATCH, FUNCTION_MISSING)

UNKNOWN_VERSION = "?"


class Hold(NamedTuple):
    """How an execution ends whose code doesn't fit the records: its workflow is released for other code."""

    detail: Mapping[str, Any]
    """The content of `workflow_status.held`: see `detail_of`."""

    @property
    def text(self) -> str:
        """The detail as JSON."""
        return to_json(self.detail).decode()


class HeldNow(NamedTuple):
    """A workflow without code, held from now on."""

    workflow_id: str
    function: str
    detail: Mapping[str, Any]


class HoldsSeen(NamedTuple):
    """The result of a look at holds.

    `counts`: how many workflows are held, by reason; at most a thousand each.
    """

    freed: int
    held: list[HeldNow]
    ended: int
    counts: dict[str, int]


def detail_of(
    diverged: Diverged,
    version: str | None,
    since: str,
    began: str | None = None,
    body: Collection[str] = (),
) -> dict[str, Any]:
    """The document of a hold: `since` is a date, `version` that of the code, which `at` refers to.

    `began`: the version as which the workflow began; `body`: the names that occur in the code of its body.
    """
    # The text may quote a validator of the user's.
    # guard: holds-that-cant-be-written = str(diverged)
    message = clean_text(str(diverged)[:MESSAGE_CHARS_MAX])
    return {
        "reason": diverged.reason,
        "since": since,
        "message": message,
        "step": diverged.step,
        "recorded": _call(diverged.recorded),
        "called": _call(diverged.called),
        "at": diverged.place,
        "version": version or UNKNOWN_VERSION,
        "began": began,
        "remedy": remedy_of(diverged, body),
    }


def remedy_of(diverged: Diverged, body: Collection[str] = ()) -> str:
    """What to write or do so that the workflow goes on.

    `body`: the names that occur in the code of its body.
    """
    if diverged.reason == OUTPUT_MISMATCH:
        return "let the step's annotation accept what is recorded too, or put the former code back"
    if diverged.reason == INPUT_MISMATCH:
        return "let the function's parameters accept the recorded input too, or put the former code back"
    if diverged.reason == FUNCTION_MISSING:
        return "deploy the file of this version again, beside the newer ones, until nothing of it is open"
    recorded, called = diverged.recorded, diverged.called
    if called is not None and recorded is not None and called != recorded:
        stays = recorded[1].rpartition(" ")[2] in body
        if stays and diverged.later:  # the two calls changed places
            return f'if patched("order-{_slug(called[1])}"): … as now … else: … as before …'
        if stays:  # another call was inserted before it
            return f'if patched("new-{_slug(called[1])}"): … {called[1]} …'
        if diverged.later:  # the call was removed
            return f'if not patched("without-{_slug(recorded[1])}"): … {recorded[1]} …'
        return f'if patched("use-{_slug(called[1])}"): … {called[1]} … else: … {recorded[1]} …'
    if called is not None:
        return f'if patched("new-{_slug(called[1])}"): … as now … else: … as before …'
    if recorded is not None:
        return f'if not patched("without-{_slug(recorded[1])}"): … {recorded[1]} …'
    return "put the former code back"


def public_hold(text: str | None, *, whole: bool) -> dict[str, Any]:
    """`workflow_status.held` for a caller; users see only the reason and since when."""
    held = dict(from_json(text)) if text else {}
    # guard: holds-shown-to-users
    return held if whole else {name: held.get(name) for name in ("reason", "since")}


def side_by_side(detail: Mapping[str, Any]) -> str:
    """A hold for people: what is recorded, what the code does, where, and how to mend it."""
    lines = [str(detail["message"])]
    if detail.get("step"):
        lines.append(f"  step {detail['step']} recorded: {_show_call(detail.get('recorded'))}")
        at = f"  ({detail['at']})" if detail.get("at") else ""
        lines.append(f"  step {detail['step']} called:   {_show_call(detail.get('called'))}{at}")
    if detail.get("version"):
        began = f"; it began as {shown(detail['began'])}" if detail.get("began") else ""
        lines.append(f"  since version {detail['version']} of its file{began}")
    elif detail.get("began"):
        lines.append(f"  it began as {shown(detail['began'])}")
    if detail.get("remedy"):
        lines.append(f"  remedy: {detail['remedy']}")
    return "\n".join(lines)


def _show_call(call: Mapping[str, Any] | None) -> str:
    return "nothing" if call is None else f"{call['kind']} {call['name']}".strip()


def _call(call: tuple[str, str] | None) -> dict[str, str] | None:
    return None if call is None else {"kind": call[0], "name": call[1]}


def _slug(name: str) -> str:
    return re.sub(r"[^A-Za-z0-9]+", "-", name).strip("-").lower() or "it"
