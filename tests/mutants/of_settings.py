"""Mutants of what sessions are given and keep: settings that are relied on, and what transactions leave."""

from __future__ import annotations

from tests.mutants.mutant import Mutant

_ONE = "test_settings.py::test_a_setting_changes_nothing"
_LEFT = "test_leftovers.py::test_nothing_is_left_by_the_services_own"

MUTANTS = (
    Mutant(
        "dates-as-the-role-has-them",
        "Dates are read in the form that they are asked for",
        "store/relied.py",
        '    "DateStyle": ("^ISO,", "ISO"),\n',
        "",
        engine=(_ONE,),
    ),
    Mutant(
        "arrays-as-the-role-has-them",
        "NULL in an array is null",
        "store/relied.py",
        '    "array_nulls": ("^on$", "on"),\n',
        "",
        engine=(_ONE,),
    ),
    Mutant(
        "settings-of-no-transaction",
        "Where sessions don't last settings are made for each transaction",
        "store/connections.py",
        "            if begins and self.needed is not None:\n",
        "            if False:\n",
        engine=(_ONE,),
    ),
    Mutant(
        "service-commits-alone",
        "A service transaction leaves nothing in the session",
        "store/callers.py",
        '    _SQL["commit_service"] + _SQL["clean"] + _SQL["restore"]',
        '    _SQL["commit_service"] + _SQL["restore"]',
        engine=(_LEFT,),
    ),
    Mutant(
        "service-undoes-half",
        "Nor does one that fails",
        "store/callers.py",
        "        await _undo(connection, _plain(connection, mark))\n",
        "",
        engine=(_LEFT,),
    ),
    Mutant(
        "one-event-after-a-refusal",
        "When Realtime is back all events of a commit go out",
        "store/realtime.py",
        "        workflows, steps = zip(*published, strict=True)\n",
        "        workflows, steps = zip(*published[: 1 if self._failures else None], strict=True)\n",
        store=("test_realtime.py::test_when_realtime_comes_back_all_events_of_the_commit_that_tries_go_out",),
    ),
)
