"""The cases of maps in memory, in virtual time."""

from tests.engine.map_cases import *  # noqa: F403
