"""The cases of parents on Postgres."""

from __future__ import annotations

import pytest

from tests.engine.parent_cases import *  # noqa: F403

pytestmark = pytest.mark.postgres
