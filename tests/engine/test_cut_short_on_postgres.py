"""The cases of undoing that was cut short on Postgres, where what is dropped is SQL."""

import pytest

from tests.engine.cut_short_cases import *  # noqa: F403

pytestmark = pytest.mark.postgres
