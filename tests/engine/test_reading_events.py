"""The cases of reading events in memory."""

from tests.engine.event_cases import *  # noqa: F403
