"""The cases of maps on Postgres, and what only it has: queries."""

from __future__ import annotations

import pytest

from tests.engine.map_cases import *  # noqa: F403

pytestmark = pytest.mark.postgres
