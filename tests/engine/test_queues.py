"""The cases of queues in memory, in virtual time."""

from tests.engine.queue_cases import *  # noqa: F403
