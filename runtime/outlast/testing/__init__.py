"""What users test their functions with: the fixture `outlast` of the pytest plugin (docs/testing.md).

Each part is loaded only on demand, because pytest imports the plugin in each run.
"""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from outlast.testing.answers import Answer, ServerEvent
    from outlast.testing.clock import around
    from outlast.testing.doubles import Stub
    from outlast.testing.errors import Deadlock, Endless, Misuse, Unproved
    from outlast.testing.kit import Outlast
    from outlast.testing.reports import Report
    from outlast.testing.runs import Run

__all__ = [
    "Answer",
    "Deadlock",
    "Endless",
    "Misuse",
    "Outlast",
    "Report",
    "Run",
    "ServerEvent",
    "Stub",
    "Unproved",
    "around",
]

_HOMES = {
    "Answer": "answers",
    "ServerEvent": "answers",
    "Deadlock": "errors",
    "Endless": "errors",
    "Misuse": "errors",
    "Outlast": "kit",
    "Report": "reports",
    "Run": "runs",
    "Stub": "doubles",
    "Unproved": "errors",
    "around": "clock",
}


def __getattr__(name: str) -> Any:
    if name not in _HOMES:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    return getattr(import_module(f"{__name__}.{_HOMES[name]}"), name)
