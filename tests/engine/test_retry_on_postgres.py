"""The cases of retry and rewind on Postgres, where they are SQL."""

import pytest

from tests.engine.retry_cases import *  # noqa: F403

pytestmark = pytest.mark.postgres
