"""Hosts that serve functions which misbehave."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import ExitStack
from pathlib import Path

import pytest

from tests.hostile.hosts import Target, serve

FUNCTIONS = Path(__file__).parent / "functions"
Start = Callable[..., Target]


@pytest.fixture(scope="module")
def target(postgres: str, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Target]:
    """A host for what it must survive without any harm."""
    with serve(postgres, tmp_path_factory.mktemp("hostile"), FUNCTIONS, import_s_max=1) as target:
        yield target


@pytest.fixture
def start(postgres: str, tmp_path: Path) -> Iterator[Start]:
    """Starts hosts of the test's own."""
    with ExitStack() as stack:

        def start(*options: str, functions: Path = FUNCTIONS, **settings: object) -> Target:
            kept = {"import_s_max": 0.3, **settings}
            return stack.enter_context(serve(postgres, tmp_path, functions, *options, **kept))

        yield start
