"""`OUTLAST_REPLAY_CHECK`: replays open workflows against the code, in a separate process."""

from __future__ import annotations

import asyncio
import json
import logging
import os
import subprocess
import sys
from collections.abc import Mapping
from typing import Any, NamedTuple

from outlast.core.background import Loop
from outlast.core.errors import OutlastError
from outlast.core.observations import Observer
from outlast.functions.catalog import Catalog
from outlast.host.settings import Settings
from outlast.observe.redaction import redactor

OPEN_MAX = 10_000
"""At most this many open workflows are replayed, the oldest first."""
LIMIT_S = 60.0
"""The longest time for that. A workflow not replayed by then is held when it is due, if it doesn't fit."""
LOOK_S = 1.0
_EMPTY = 2

_logger = logging.getLogger("outlast")


class ReplayDiverges(OutlastError):
    """Open workflows would do something else with this code than is recorded, so it isn't served."""

    code = "replay_diverges"


class Checked(NamedTuple):
    """How many were replayed, and by function those that don't fit: each one's id and the difference."""

    total: int
    diverging: Mapping[str, list[tuple[str, str]]]


class ReplayCheck:
    """Reports open workflows that don't fit the served code, at the start and after each reload."""

    def __init__(self, settings: Settings, url: str, catalog: Catalog, observe: Observer) -> None:
        self._settings = settings
        self._url = url
        self._catalog = catalog
        # With `block` the check was made before anything was served.
        self._seen: Mapping[str, str] | None = (
            catalog.versions() if settings.replay_check == "block" else None
        )
        self.loop = Loop("replay check", self._do_round, observe)

    async def _do_round(self) -> float | None:
        versions = self._catalog.versions()
        if versions != self._seen:
            self._seen = versions
            tell(await asyncio.to_thread(replayed, self._settings, self._url))
        return LOOK_S if self._settings.reload else None


def refuse_diverging(settings: Settings, url: str) -> None:
    """Raise ReplayDiverges if open workflows don't fit the code of the folder."""
    checked = replayed(settings, url)
    # guard: diverging-code-served
    if checked is not None and checked.diverging:
        tell(checked)
        count = sum(map(len, checked.diverging.values()))
        names = ", ".join(sorted(checked.diverging))
        raise ReplayDiverges(
            f"{count} of {checked.total} open workflows don't fit this code ({names}): mend it as the lines "
            "above say, or serve the former code; OUTLAST_REPLAY_CHECK=warn serves it all the same, and "
            "holds them"
        )
    tell(checked)


def tell(checked: Checked | None) -> None:
    """Log each function that doesn't fit, with its first workflow."""
    if checked is None:
        return
    for function, found in sorted(checked.diverging.items()):
        name, what = found[0]
        text = f"{len(found)} open workflows of {function} don't fit this code; {name}:\n{what}"
        _logger.warning("replay check: %s", redactor.redact(text))
    if not checked.diverging:
        _logger.info("replay check: %d open workflows fit this code", checked.total)


def replayed(settings: Settings, url: str) -> Checked | None:
    """Replay open workflows; None if that failed, which is logged."""
    command = [sys.executable, "-m", "outlast", "check", "--replay", "--json", "--sample", "0"]
    command += ["--open", str(OPEN_MAX), "--functions", str(settings.functions)]
    environment = {**os.environ, "SUPABASE_DB_URL": url}
    try:
        done = subprocess.run(
            command, env=environment, capture_output=True, text=True, timeout=LIMIT_S, check=False
        )
    except subprocess.TimeoutExpired:
        return _not_made(f"it took longer than {LIMIT_S:g} s: see `outlast check --replay`")
    except OSError as error:
        return _not_made(str(error))
    if done.returncode == _EMPTY:
        return Checked(0, {})
    try:
        return _read(json.loads(done.stdout))
    except (ValueError, KeyError):
        return _not_made(_last_line(done.stderr))


def _not_made(why: str) -> Checked | None:
    _logger.warning("replay check: it could not be made: %s", redactor.redact(why))
    return None


def _read(document: Mapping[str, Any]) -> Checked:
    found: dict[str, list[tuple[str, str]]] = {}
    of_others = 0
    for each in document["diverging"]:
        # Another instance serves the functions of another folder.
        if not each["served"]:
            of_others += 1
            continue
        found.setdefault(each["function"], []).append((each["workflow_id"], each["message"]))
    return Checked(document["checked"] - of_others, found)


def _last_line(text: str) -> str:
    lines = [line for line in text.splitlines() if line.strip()]
    return lines[-1] if lines else "the check said nothing"
