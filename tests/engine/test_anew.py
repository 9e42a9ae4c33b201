"""What is done anew after a retry, in memory."""

from __future__ import annotations

from tests.engine.anew_cases import *  # noqa: F403
