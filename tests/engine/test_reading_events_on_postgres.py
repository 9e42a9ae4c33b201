"""The cases of reading events on Postgres."""

import pytest

from tests.engine.event_cases import *  # noqa: F403

pytestmark = pytest.mark.postgres
