"""What is done anew after a retry, on Postgres."""

import pytest

from tests.engine.anew_cases import *  # noqa: F403

pytestmark = pytest.mark.postgres
