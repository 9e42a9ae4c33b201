"""What is written comes back: values, failures, requests, answers; and what replay makes of any history."""

from __future__ import annotations

import dataclasses
import enum
import json
from datetime import UTC, date, datetime, time, timedelta, timezone
from decimal import Decimal
from typing import Any
from uuid import UUID

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from pydantic import BaseModel

from outlast import Request, Response
from outlast.core.codec import Codec
from outlast.core.errors import NotSerializable, StepFailed
from outlast.core.failures import decode_failure, encode_failure
from outlast.core.kinds import STEP
from outlast.core.records import StepRecord
from outlast.core.replay import Branch
from outlast.core.stops import Diverged
from outlast.sdk.http import Headers
from outlast.sdk.requests import RECORDED
from tests.histories import history_of

texts = st.text(st.characters(exclude_categories=["Cs"]))
any_text = st.text()
finite = st.floats(allow_nan=False, allow_infinity=False)
zones = st.sampled_from([UTC, timezone(timedelta(hours=5, minutes=30)), timezone(timedelta(hours=-11))])


class Colour(enum.Enum):
    RED = "red"
    DARK = 7


class Size(enum.IntEnum):
    SMALL = 1


class Line(BaseModel):
    sku: str
    price: Decimal
    colour: Colour
    at: datetime | None
    parts: dict[str, list[int]]


@dataclasses.dataclass
class Parcel:
    id: UUID
    day: date
    took: timedelta
    lines: list[Line]
    weight: float
    size: Size = Size.SMALL


NUMBERS = (int, float)


def same(one: Any, other: Any) -> bool:
    """Whether a program can take one for the other: of one type and equal, or equal numbers (0 and 0.0)."""
    if type(one) in NUMBERS and type(other) in NUMBERS:
        return bool(one == other)
    if type(one) is not type(other):
        return False
    if isinstance(one, list | tuple):
        return len(one) == len(other) and all(map(same, one, other))
    if isinstance(one, dict):
        return keys_of(one) == keys_of(other) and all(same(one[key], other[key]) for key in one)
    if isinstance(one, set):
        return keys_of(one) == keys_of(other)
    return bool(one == other)


def keys_of(values: Any) -> set[tuple[Any, Any]]:
    """The keys or members, each with its type, so that True isn't 1."""
    return {("number" if type(each) in NUMBERS else type(each), each) for each in values}


decimals = st.decimals(allow_nan=False, allow_infinity=False)
moments = st.datetimes(timezones=zones) | st.datetimes()
lines = st.builds(
    Line,
    sku=texts,
    price=decimals,
    colour=st.sampled_from(Colour),
    at=st.none() | moments,
    parts=st.dictionaries(texts, st.lists(st.integers(), max_size=3), max_size=3),
)
parcels = st.builds(
    Parcel,
    id=st.uuids(),
    day=st.dates(),
    took=st.timedeltas(timedelta(days=-10_000), timedelta(days=10_000)),
    lines=st.lists(lines, max_size=3),
    weight=finite,
)
typed: list[tuple[Any, st.SearchStrategy[Any]]] = [
    (datetime, moments),
    (date, st.dates()),
    (time, st.times()),
    (timedelta, st.timedeltas(timedelta(days=-10_000), timedelta(days=10_000))),
    (Decimal, decimals),
    (UUID, st.uuids()),
    (float, finite),
    (int, st.integers()),
    (str, texts),
    (bytes, texts.map(str.encode)),
    (Colour, st.sampled_from(Colour)),
    (set[int], st.sets(st.integers(), max_size=5)),
    (dict[UUID, Decimal], st.dictionaries(st.uuids(), decimals, max_size=3)),
    (tuple[int, str | None], st.tuples(st.integers(), st.none() | texts)),
    (Line, lines),
    (list[Parcel], st.lists(parcels, max_size=2)),
]


@pytest.mark.parametrize(("annotation", "values"), typed, ids=[str(kind) for kind, _ in typed])
@given(data=st.data())
@settings(max_examples=40)
def test_a_value_that_fits_its_annotation_comes_back_the_same(
    annotation: Any, values: st.SearchStrategy[Any], data: st.DataObject
) -> None:
    value = data.draw(values)
    codec = Codec(annotation)
    text, decoded = codec.through(value)
    assert decoded == value
    assert type(decoded) is type(value)
    assert codec.decode(text) == value
    assert codec.through(decoded)[1] == value, "a second passage changes it"
    json.loads(text)


strange = st.recursive(
    st.none()
    | st.booleans()
    | st.integers()
    | st.floats()
    | any_text
    | st.binary()
    | st.decimals()
    | st.complex_numbers()
    | st.sampled_from([Size.SMALL, Colour.RED, object(), len, int, ...])
    | moments,
    lambda inner: (
        st.lists(inner, max_size=3)
        | st.tuples(inner)
        | st.dictionaries(any_text | st.integers() | st.none(), inner, max_size=3)
    ),
)


@given(strange)
def test_anything_at_all_comes_back_the_same_or_is_refused(value: Any) -> None:
    try:
        text, decoded = Codec().through(value)
    except NotSerializable:
        return
    assert repr(decoded) == repr(value)
    assert repr(Codec().decode(text)) == repr(value)
    text.encode()


@pytest.mark.parametrize("annotation", [kind for kind, _ in typed], ids=str)
@given(value=strange)
@settings(max_examples=40)
def test_what_does_not_fit_an_annotation_never_comes_back_as_something_else(
    annotation: Any, value: Any
) -> None:
    codec = Codec(annotation)
    try:
        text, decoded = codec.through(value)
    except NotSerializable:
        return
    assert same(decoded, value)
    assert same(codec.decode(text), value)


@pytest.mark.parametrize(
    ("one", "other"),
    [
        (1, True),
        (0.0, False),
        (1, Decimal(1)),
        (1, 2.0),
        ([1], (1,)),
        ([1, 2], [1]),
        ({"a": 1}, {"a": True}),
        ({1: "a"}, {True: "a"}),
        ({1}, {True}),
        ("1", 1),
        (b"a", "a"),
        (Size.SMALL, 1),
    ],
    ids=repr,
)
def test_what_only_looks_the_same_is_not_held_to_be(one: Any, other: Any) -> None:
    assert same(one, one)
    assert same(other, other)
    assert not same(one, other)
    assert not same(other, one)


# --- failures -----------------------------------------------------------------------------------------------


class Declined(Exception):
    def __init__(self, *, code: Any) -> None:
        super().__init__(f"declined: {code}")
        self.code = code


plain = st.none() | st.booleans() | st.integers() | finite | texts | st.lists(texts, max_size=2)
leaves = st.one_of(
    st.builds(lambda args: ValueError(*args), st.lists(plain, max_size=3)),
    st.builds(lambda args: KeyError(*args), st.lists(plain, max_size=2)),
    st.builds(OSError, st.integers(1, 130), texts, texts),
    st.builds(Declined, code=plain),
)
failures = st.recursive(
    leaves,
    lambda inner: st.builds(ExceptionGroup, texts, st.lists(inner, min_size=1, max_size=3)),
    max_leaves=4,
)


def shape(error: BaseException) -> Any:
    """What a program can tell of an exception."""
    members = [shape(each) for each in error.exceptions] if isinstance(error, BaseExceptionGroup) else []
    return type(error), str(error), repr(error), getattr(error, "code", None), members


@given(failures)
def test_a_failure_comes_back_as_it_was_however_often(error: Exception) -> None:
    once = decode_failure(encode_failure(error), "charge", globals())
    assert shape(once) == shape(error)
    assert shape(decode_failure(encode_failure(once), "charge", globals())) == shape(error)


@given(st.builds(lambda args: ValueError(*args), st.lists(strange, max_size=3)), any_text)
def test_a_failure_with_anything_in_it_can_be_recorded(error: Exception, note: str) -> None:
    error.add_note(note)
    error.strange = {note: error.args}  # type: ignore[attr-defined]
    text = encode_failure(error)
    text.encode()
    again = decode_failure(text, "charge", globals())
    assert isinstance(again, ValueError | StepFailed)


# --- requests and answers -----------------------------------------------------------------------------------

tokens = st.text("abcdefghijklmnopqrstuvwxyz0123456789-", min_size=1, max_size=10).map(
    lambda each: f"x-{each}"
)
field_values = st.text(st.characters(min_codepoint=0x20, max_codepoint=0x7E), max_size=20)


@given(
    st.sampled_from(["GET", "POST", "PUT"]),
    texts,
    texts,
    st.lists(
        st.tuples(tokens | st.sampled_from([*sorted(RECORDED), "cookie", "authorization"]), field_values),
        max_size=5,
    ),
    st.binary(),
)
def test_a_request_comes_back_without_credentials(
    method: str, path: str, query: str, headers: list[tuple[str, str]], body: bytes
) -> None:
    request = Request(method, path, query, Headers(headers), body)
    again = Request.from_record(request.record(with_body=True), None)
    assert (again.method, again.path, again.query_string, again.body) == (method, path, query, body)
    assert again.headers.pairs() == [pair for pair in headers if pair[0] in RECORDED]


json_bodies = st.recursive(
    st.booleans() | st.integers() | finite | texts,
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(texts, inner, max_size=3),
)


@given(
    st.none() | st.binary() | texts | json_bodies,
    st.integers(200, 599),
    st.lists(st.tuples(tokens, field_values), max_size=3),
)
def test_an_answer_comes_back_as_the_same_bytes(
    body: Any, status: int, headers: list[tuple[str, str]]
) -> None:
    answer = Response(body, status, headers)
    again = Response.from_record(*answer.record())
    assert (again.status, again.body, again.headers.pairs()) == (
        answer.status,
        answer.body,
        answer.headers.pairs(),
    )


# --- replay -------------------------------------------------------------------------------------------------


@st.composite
def histories(draw: st.DrawFn) -> list[StepRecord]:
    """Steps in some order of completion, some of them sleeps that aren't over."""
    count = draw(st.integers(0, 12))
    places = draw(st.permutations(range(1, count + 1)))
    open_sleeps = draw(st.sets(st.integers(0, max(0, count - 1)), max_size=2)) if count else set()
    return [
        StepRecord(str(number + 1), f"step {number}", "1", None, 1, None if number in open_sleeps else place)
        for number, place in enumerate(places)
    ]


@given(histories())
def test_completions_are_released_in_their_order_and_new_ones_come_after(records: list[StepRecord]) -> None:
    history = history_of(records)
    orders = sorted(each.completion_order for each in records if each.completion_order is not None)
    for each in records:
        history.meet(each.step_id, STEP, each.name)
    released = []
    while history.left:
        released.append(history.take().completion_order)
    assert released == orders
    assert history.last_place == max(orders, default=0)


@given(histories(), st.data())
def test_every_call_gets_its_own_record_in_whatever_order_it_comes(
    records: list[StepRecord], data: st.DataObject
) -> None:
    history = history_of(records)
    for record in data.draw(st.permutations(records)):
        assert history.replaying
        assert history.meet(record.step_id, STEP, record.name) == record
    while history.left:
        assert history.replaying
        history.take()
    assert not history.replaying
    history.check_all_reached()
    assert history.meet(str(len(records) + 1), STEP, "new") is None


@given(histories().filter(bool), st.data())
def test_any_other_name_diverges_and_so_does_an_end_before_the_last(
    records: list[StepRecord], data: st.DataObject
) -> None:
    record = data.draw(st.sampled_from(records))
    with pytest.raises(Diverged):
        history_of(records).meet(record.step_id, STEP, "another")
    history = history_of(records)
    for each in records[:-1]:
        history.meet(each.step_id, STEP, each.name)
    with pytest.raises(Diverged):
        history.check_all_reached()


@given(st.lists(st.integers(0, 4), max_size=40))
def test_no_two_calls_of_a_workflow_share_an_id(plan: list[int]) -> None:
    """`plan`: which of the branches there are goes on; every third time it makes a task."""
    branches, seen = [Branch()], set()
    for turn, choice in enumerate(plan):
        branch = branches[choice % len(branches)]
        if turn % 3 == 2:
            made = branch.fork()
            branches.append(made)
            step_id = made.prefix[:-1]
        else:
            step_id = branch.next_id()
        assert step_id not in seen
        seen.add(step_id)
