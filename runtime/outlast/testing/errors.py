"""The errors of a test that can't go on, or that found a fault in a workflow."""

from __future__ import annotations

from outlast.core.errors import OutlastError


class Deadlock(OutlastError, AssertionError):
    """Nothing more can happen, and the workflow waits for something that nobody will send."""

    code = "deadlock"


class Endless(Deadlock):
    """A workflow goes on and on: it called or waited more often than the test allows."""

    code = "endless"


class Unproved(OutlastError, AssertionError):
    """A workflow failed a test. The text says what was found, where, and what to do about it."""

    code = "unproved"


class Misuse(UserWarning):
    """A workflow's body does what it can't repeat on replay; the warning names the line."""
