"""The cases of schedules in memory and in virtual time."""

from tests.engine.schedule_cases import *  # noqa: F403
