"""The cases of `start_all` in memory."""

from __future__ import annotations

from tests.engine.start_all_cases import *  # noqa: F403
