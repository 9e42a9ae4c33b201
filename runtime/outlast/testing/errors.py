"""What a test is told when it can't go on, or when a workflow was found at fault."""

from __future__ import annotations

from outlast.core.errors import OutlastError


class Deadlock(OutlastError, AssertionError):
    """Nothing is left that could happen, and the workflow waits for what nobody will send."""

    code = "deadlock"


class Endless(Deadlock):
    """A workflow goes on and on: it called or waited more often than the test allows."""

    code = "endless"


class Unproved(OutlastError, AssertionError):
    """A workflow didn't stand a test: the text says what was found, where, and what to do about it."""

    code = "unproved"


class Misuse(UserWarning):
    """A workflow's body does what it can't do again on replay; the warning names the line."""
