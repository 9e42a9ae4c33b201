"""The cases of queues on Postgres."""

import pytest

from tests.engine.queue_cases import *  # noqa: F403

pytestmark = pytest.mark.postgres
