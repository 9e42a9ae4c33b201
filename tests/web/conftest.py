"""What the tests of the web floor share."""

from __future__ import annotations

from collections.abc import AsyncIterator

import httpx
import pytest

from tests.web.harness import Project


@pytest.fixture
async def project() -> Project:
    """A project without functions and workflows."""
    return Project()


@pytest.fixture
async def client(project: Project) -> AsyncIterator[httpx.AsyncClient]:
    """Calls it with the secret key."""
    async with project.client() as client:
        yield client


@pytest.fixture
async def stranger(project: Project) -> AsyncIterator[httpx.AsyncClient]:
    """Calls it without any key."""
    async with project.stranger() as client:
        yield client
