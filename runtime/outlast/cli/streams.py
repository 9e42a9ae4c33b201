"""Follows server-sent events of a host, and goes on where a stream broke off."""

from __future__ import annotations

import json
import time
from collections.abc import Iterator, Mapping
from contextlib import ExitStack
from typing import Any, NamedTuple

from outlast.cli.failures import CommandFailed
from outlast.cli.following import retry_while_away
from outlast.cli.remote import Remote, is_temporary

_GOES_ON = frozenset({"shutting_down", "database_unavailable", "overloaded"})
"""This host can't go on: another one can, or this one when it is back."""


_PAUSE_S = 0.2
"""The pause between two streams, even if the first one broke at once."""


class Sent(NamedTuple):
    """One event: its kind, and its data."""

    kind: str
    data: dict[str, Any]


def follow_stream(remote: Remote, path: str, params: Mapping[str, Any]) -> Iterator[Sent]:
    """The events at `path`, up to one of kind `end`. Numbered ones come once, even if the stream breaks.

    Raises CommandFailed.
    """
    last: str | None = None
    with ExitStack() as stack:

        def ask() -> Iterator[bytes]:
            headers = {} if last is None else {"last-event-id": last}
            return stack.enter_context(remote.stream(path, headers=headers, params=params))

        while True:
            lines = retry_while_away(ask)
            try:
                for number, sent in _events_of(lines):
                    if sent.kind == "error":
                        _check_passing(sent.data)
                        break
                    last = number or last
                    yield sent
                    if sent.kind == "end":
                        return
            except CommandFailed as failure:
                if not is_temporary(failure):
                    raise
            stack.close()
            time.sleep(_PAUSE_S)


def _check_passing(problem: Mapping[str, Any]) -> None:
    if problem.get("code") not in _GOES_ON:
        raise CommandFailed(str(problem.get("code")), str(problem.get("detail")))


def _events_of(lines: Iterator[bytes]) -> Iterator[tuple[str | None, Sent]]:
    fields: dict[str, str] = {}
    for line in lines:
        if line:
            name, _, value = line.decode().partition(": ")
            fields[name] = value
        elif "data" in fields:
            yield fields.get("id"), Sent(fields["event"], json.loads(fields["data"]))
            fields = {}
