"""Exceptions out of records: the same class, text and attributes, live and on replay."""

from __future__ import annotations

import errno
import json
from collections.abc import Callable
from datetime import date, datetime, time, timedelta, timezone
from decimal import Decimal
from typing import Any, cast
from uuid import UUID
from zoneinfo import ZoneInfo

import httpx
import pytest
from pydantic import BaseModel, ValidationError

from outlast.core import bounds
from outlast.core.errors import StepFailed
from outlast.core.failures import KEPT_BYTES_MAX, decode_failure, encode_failure


class Declined(Exception):
    """Its constructor takes other things than its arguments."""

    def __init__(self, *, code: str, cents: int) -> None:
        super().__init__(f"declined: {code}")
        self.code = code
        self.cents = cents


class TooLate(Exception):
    def __init__(self, day: date, price: Decimal) -> None:
        super().__init__(day, price)
        self.day = day
        self.at = datetime(2026, 1, 2, 3, 4, 5, 6, timezone(timedelta(hours=2)))


class Silent(Exception):
    def __init__(self, code: str) -> None:
        self.code = code


class DiskError(OSError):
    def __init__(self, path: str) -> None:
        super().__init__(errno.ENOSPC, "no space", path)
        self.path = path


class Unprintable(Exception):
    def __str__(self) -> str:
        raise RuntimeError("no text")


class Picky(Exception):
    def __new__(cls, wanted: int, also: int) -> Picky:
        return super().__new__(cls, wanted)


class Outer:
    class Inner(Exception):
        pass


def recorded(error: BaseException) -> Exception:
    text = encode_failure(error)
    json.loads(text)
    return decode_failure(text, "charge", globals())


def raised(error: Exception) -> Exception:
    try:
        raise error
    except Exception as caught:
        return caught


def test_a_time_that_would_lose_its_zone_is_a_text() -> None:
    at = time(1, tzinfo=ZoneInfo("Europe/Berlin"))
    assert recorded(raised(ValueError(at))).args == (repr(at),)


@pytest.mark.parametrize(
    "error",
    [
        ValueError("bad", 3),
        KeyError("missing"),
        LookupError(),
        FileNotFoundError(errno.ENOENT, "No such file or directory", "/a"),
        ConnectionResetError(errno.ECONNRESET, "Connection reset by peer"),
        OSError("only a text"),
        UnicodeDecodeError("utf-8", b"a\xff", 1, 2, "invalid start byte"),
        UnicodeEncodeError("ascii", "é", 0, 1, "ordinal not in range"),
        ZeroDivisionError("division by zero"),
        StopAsyncIteration("x"),
        TimeoutError(),
        ImportError("no module"),
        Picky(1, 2),
        httpx.ConnectError("refused"),
        httpx.InvalidURL("bad"),
        Declined(code="stolen", cents=5),
        Silent("x"),
        DiskError("/data"),
        Outer.Inner("deep"),
        ArithmeticError(
            date(2026, 1, 2),
            datetime.fromisoformat("2026-01-02 03:04"),
            time(4, 5),
            UUID(int=7),
            Decimal("1.10"),
        ),
        TooLate(date(2026, 1, 2), Decimal("-0.00")),
        ExceptionGroup("two", [ValueError("a"), ExceptionGroup("in", [Declined(code="b", cents=1)])]),
    ],
    ids=lambda error: type(error).__name__,
)
def test_an_exception_comes_back_as_it_was(error: Exception) -> None:
    again = recorded(raised(error))
    assert type(again) is type(error)
    assert str(again) == str(error)
    assert repr(again) == repr(error)
    visible = {key: value for key, value in vars(error).items() if not key.startswith("_")}
    assert {key: value for key, value in vars(again).items() if key in visible} == visible
    twice = recorded(again)
    assert (type(twice), str(twice), repr(twice)) == (type(error), str(error), repr(error))


def test_records_of_before_kinds_are_read_and_new_ones_are_texts_to_who_knows_none() -> None:
    document = json.loads(encode_failure(ValueError(date(2026, 1, 2), "2026-01-02")))
    assert (document["args"], document["kinds"]) == (["2026-01-02", "2026-01-02"], {"args.0": "date"})
    del document["kinds"]
    assert decode_failure(json.dumps(document), "s", {}).args == ("2026-01-02", "2026-01-02")
    document["kinds"] = {"args.0": "not known yet"}
    assert decode_failure(json.dumps(document), "s", {}).args == ("2026-01-02", "2026-01-02")


def test_system_errors_keep_their_number_and_file() -> None:
    again = recorded(DiskError("/data"))
    assert isinstance(again, OSError)
    assert (again.errno, again.strerror, again.filename) == (errno.ENOSPC, "no space", "/data")
    missing = recorded(FileNotFoundError(errno.ENOENT, "gone", "/a"))
    assert isinstance(missing, FileNotFoundError)
    assert missing.errno == errno.ENOENT


def test_what_json_cant_hold_is_dropped_and_named() -> None:
    request = httpx.Request("GET", "https://example.com")
    error = httpx.HTTPStatusError("404", request=request, response=httpx.Response(404))
    again = recorded(error)
    assert type(again) is httpx.HTTPStatusError
    assert any("response" in note for note in again.__notes__)
    odd = recorded(ValueError({1, 2}, (3,)))
    assert odd.args == ("{1, 2}", "(3,)")


def test_notes_stay() -> None:
    error = ValueError("a")
    error.add_note("tell the owner")
    assert recorded(error).__notes__ == ["tell the owner"]


def test_the_cause_is_the_recorded_traceback() -> None:
    try:
        raise ValueError("a") from KeyError("b")
    except ValueError as error:
        again = recorded(error)
    assert "KeyError" in str(again.__cause__)
    assert "test_failures.py" in str(again.__cause__)


def local_error() -> Exception:
    class Local(Exception):
        pass

    return Local("here")


def invalid() -> Exception:
    class Model(BaseModel):
        n: int

    try:
        Model.model_validate({"n": "x"})
    except ValidationError as error:
        return error
    raise AssertionError


def unprintable() -> Exception:
    return Unprintable("a")


@pytest.mark.parametrize("make", [local_error, invalid, unprintable])
def test_a_class_that_cant_be_rebuilt_is_step_failed_with_its_text(make: Any) -> None:
    error = make()
    again = recorded(error)
    assert type(again) is StepFailed
    assert again.step == "charge"
    assert again.error_type == type(error).__qualname__


@pytest.mark.parametrize("error", [SystemExit(3), KeyboardInterrupt(), GeneratorExit()])
def test_no_record_comes_back_as_what_would_end_the_host(error: BaseException) -> None:
    assert type(recorded(error)) is StepFailed


def test_no_foreign_class_is_called_for_its_name() -> None:
    document = json.loads(encode_failure(ValueError("x")))
    for module, name in [("os", "system"), ("builtins", "print"), ("nowhere", "X"), ("builtins", "")]:
        document.update(module=module, type=name)
        assert type(decode_failure(json.dumps(document), "s", {})) is StepFailed


def test_surrogates_and_endless_texts_are_bounded() -> None:
    text = encode_failure(ValueError("\ud800", "x" * 1_000_000))
    text.encode()
    assert len(json.loads(text)["message"]) <= 10_000


def nested(count: int) -> list[Any]:
    value: list[Any] = []
    for _ in range(count):
        value = [value]
    return value


def wide(depth: int) -> Exception:
    error: Exception = ValueError("leaf")
    for _ in range(depth):
        error = ExceptionGroup("wide", [error] * 90)
    return error


def deep() -> Exception:
    error: Exception = ValueError("leaf")
    for _ in range(10_000):
        error = ExceptionGroup("deep", [error])
    return error


def with_attributes() -> Exception:
    error = ValueError("x")
    for n in range(200):
        setattr(error, f"a{n}", "\0" * 15_000)
    vars(error)["\ud800"] = vars(error)[cast(str, 7)] = 1
    return error


LARGE = {
    "arguments": lambda: ValueError(*["\U0001f600" * 90_000] * 100),
    "more arguments": lambda: ValueError(*range(1000)),
    "attributes": with_attributes,
    "texts": lambda: ExceptionGroup("g", [ValueError("\0" * 100_000) for _ in range(300)]),
    "members": lambda: wide(2),
    "groups": deep,
    "bytes": lambda: UnicodeDecodeError("utf-8", bytes(1_000_000), 1, 2, "bad"),
    "a nested argument": lambda: ValueError(nested(195)),
    "a long number": lambda: ValueError(10**6000),
    "a bad representation": lambda: ValueError(Unshown()),
}  # fmt: skip


class Unshown:
    def __repr__(self) -> str:
        raise RuntimeError("no text")


@pytest.mark.parametrize("make", LARGE.values(), ids=LARGE)
def test_a_failure_of_any_size_is_recorded(make: Callable[[], Exception]) -> None:
    error = make()
    text = encode_failure(error)
    assert len(text.encode()) < 1.3 * KEPT_BYTES_MAX
    again = decode_failure(text, "charge", globals())
    assert type(again) is type(error)


def test_the_bound_of_outputs_is_none_of_failures() -> None:
    bounds.limit_outputs(1024)
    try:
        again = recorded(raised(ValueError("x" * 5_000)))
    finally:
        bounds.limit_outputs(bounds.OUTPUT_BYTES_MAX)
    assert again.args == ("x" * 5_000,)


def test_what_of_a_failure_is_too_large_is_named() -> None:
    error = ExceptionGroup("g", [ValueError(n) for n in range(150)])
    error.add_note("mine")
    again = recorded(error)
    assert isinstance(again, ExceptionGroup)
    assert [each.args[0] for each in again.exceptions] == list(range(100))
    assert again.__notes__[0] == "mine"
    assert again.__notes__[1].endswith(": members")
    again = recorded(with_attributes())
    assert vars(again)["a0"] == "\0" * 15_000
    assert " a20," in again.__notes__[0]
