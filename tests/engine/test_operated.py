"""The cases of what operators do, over the store in memory."""

from __future__ import annotations

from tests.engine.operated_cases import *  # noqa: F403
