"""`os.environ` as functions see it: each its own values, whatever runs beside it."""

from __future__ import annotations

import asyncio
import contextvars
import os
import subprocess
import sys
import threading
from collections.abc import Iterator
from unittest import mock

import pytest
from pydantic_settings import BaseSettings

from outlast.host.children import let_children_inherit
from outlast.sdk.environment import Own, current_environment, enter_environment, environment, install

OURS = "OUTLAST_TEST_COLOUR"
THEIRS = "OUTLAST_TEST_PROCESS"


@pytest.fixture(autouse=True)
def installed(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    install()
    let_children_inherit()
    monkeypatch.delenv(OURS, raising=False)
    monkeypatch.setenv(THEIRS, "process")
    yield
    assert current_environment() is None


def test_every_way_of_reading_finds_it() -> None:
    with environment({OURS: "red", THEIRS: "own"}):
        assert os.environ[OURS] == os.getenv(OURS) == os.environ.get(OURS) == "red"
        assert OURS in os.environ
        assert os.environ[THEIRS] == "own"
        whole = dict(os.environ)
        assert whole[OURS] == "red"
        assert whole[THEIRS] == "own"
        assert whole == {**os.environ} == os.environ.copy() == dict(os.environ.items()) == os.environ | {}
        assert len(os.environ) == len(list(os.environ)) == len(set(os.environ)) == len(whole)
    assert OURS not in os.environ
    assert os.environ[THEIRS] == "process"
    assert os.getenv(OURS, "none") == "none"


def test_settings_classes_read_it() -> None:
    class Chosen(BaseSettings):
        outlast_test_colour: str = "none"

    with environment({OURS: "red"}):
        assert Chosen().outlast_test_colour == "red"
    assert Chosen().outlast_test_colour == "none"


def test_what_a_function_has_of_its_own_is_written_there() -> None:
    own: Own = {OURS: "red"}
    with environment(own):
        os.environ[OURS] = "blue"
        assert os.environ[OURS] == "blue"
        assert os.environ.setdefault(OURS, "green") == "blue"
        os.environ[THEIRS] = "changed for all"
    assert OURS not in os.environ
    assert os.environ[THEIRS] == "changed for all"
    with environment(own):
        assert os.environ[OURS] == "blue"


def test_what_it_deletes_is_gone_for_it_alone() -> None:
    with environment({THEIRS: "own"}):
        del os.environ[THEIRS]
        assert THEIRS not in os.environ
        assert THEIRS not in list(os.environ)
        assert os.environ.pop(THEIRS, "gone") == "gone"
        with pytest.raises(KeyError):
            del os.environ[THEIRS]
        os.environ[THEIRS] = "again"
        assert os.environ[THEIRS] == "again"
    assert os.environ[THEIRS] == "process"


def test_clearing_and_restoring_leaks_nothing_to_others() -> None:
    with environment({OURS: "red"}):
        with mock.patch.dict(os.environ, {"OUTLAST_TEST_MORE": "1"}, clear=True):
            assert dict(os.environ) == {"OUTLAST_TEST_MORE": "1"}
        assert os.environ[OURS] == "red"
    assert OURS not in os.environ
    assert os.environ[THEIRS] == "process"


@pytest.mark.parametrize("value", [5, None, b"x"])
def test_values_are_text(value: object) -> None:
    with environment({OURS: "red"}), pytest.raises(TypeError, match="str expected"):
        os.environ[OURS] = value  # type: ignore[assignment]


@pytest.mark.parametrize("name", [5, None, b"x"])
def test_names_are_text(name: object) -> None:
    with environment({OURS: "red"}), pytest.raises(TypeError):
        os.environ[name]  # type: ignore[index]


async def test_tasks_and_threads_keep_apart() -> None:
    gate = asyncio.Barrier(3)

    async def one(colour: str | None) -> list[str | None]:
        enter_environment(None if colour is None else {OURS: colour})
        seen = []
        for _ in range(3):
            await gate.wait()
            seen.append(os.environ.get(OURS))
            seen.append(await asyncio.to_thread(os.environ.get, OURS))
        return seen

    tasks = [
        asyncio.create_task(one(colour), context=contextvars.Context()) for colour in ("red", "blue", None)
    ]
    assert await asyncio.gather(*tasks) == [[colour] * 6 for colour in ("red", "blue", None)]


def test_threads_that_a_function_starts_itself_see_the_process() -> None:
    seen: list[str | None] = []
    with environment({OURS: "red"}):
        own = contextvars.copy_context()
        for look in (os.environ.get, lambda name: own.run(os.environ.get, name)):
            thread = threading.Thread(target=lambda look=look: seen.append(look(OURS)))
            thread.start()
            thread.join(20)
    assert seen == [None, "red"]


SHOW = f"import os; print(os.environ.get({OURS!r}), os.environ.get({THEIRS!r}))"


@pytest.mark.parametrize("options", [{}, {"env": None}, {"close_fds": False}])
def test_children_see_what_the_function_sees(options: dict) -> None:
    def shown() -> str:
        return subprocess.run(
            [sys.executable, "-c", SHOW], capture_output=True, text=True, timeout=20, **options
        ).stdout.strip()

    with environment({OURS: "red", THEIRS: "own"}):
        assert shown() == "red own"
    assert shown() == "None process"


def test_a_child_that_is_given_an_environment_gets_that() -> None:
    with environment({OURS: "red"}):
        done = subprocess.run(
            [sys.executable, "-c", SHOW], capture_output=True, text=True, timeout=20, env={THEIRS: "given"}
        )
    assert done.stdout.strip() == "None given"


def test_installing_twice_changes_nothing() -> None:
    before, made = os.environ, subprocess.Popen.__init__
    install()
    let_children_inherit()
    assert os.environ is before
    assert subprocess.Popen.__init__ is made
