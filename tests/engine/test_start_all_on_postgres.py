"""The cases of `start_all` on Postgres."""

from __future__ import annotations

import pytest

from tests.engine.start_all_cases import *  # noqa: F403

pytestmark = pytest.mark.postgres
