"""The cases of undoing that was cut short, in memory."""

from tests.engine.cut_short_cases import *  # noqa: F403
