"""The cases of parents in memory, in virtual time."""

from tests.engine.parent_cases import *  # noqa: F403
