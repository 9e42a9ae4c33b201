"""The cases of schedules on Postgres."""

import pytest

from tests.engine.schedule_cases import *  # noqa: F403

pytestmark = pytest.mark.postgres
