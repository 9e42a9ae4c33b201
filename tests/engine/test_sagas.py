"""The cases of sagas in memory, in virtual time."""

from tests.engine.saga_cases import *  # noqa: F403
