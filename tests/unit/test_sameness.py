"""What counts as the same after JSON: times in zones, numbers, enums, sets, bytes, dataclasses, generics."""

from __future__ import annotations

import dataclasses
import enum
import math
from datetime import UTC, date, datetime, time, timedelta, timezone
from decimal import Decimal
from typing import Any, Generic, TypeVar
from zoneinfo import ZoneInfo

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from pydantic import BaseModel, PrivateAttr

from outlast.core.codec import Codec, difference
from outlast.core.errors import NotSerializable

T = TypeVar("T")
BERLIN = ZoneInfo("Europe/Berlin")
REPEATED = datetime(2026, 10, 25, 2, 30, tzinfo=BERLIN)


class Shade(enum.Enum):
    DARK = 1
    BLACK = 1  # noqa: PIE796 - an alias
    LIGHT = 2


class Word(enum.StrEnum):
    A = "a"


class Event(BaseModel):
    at: datetime
    tags: set[str] = set()
    shade: Shade = Shade.DARK


@dataclasses.dataclass(frozen=True, slots=True)
class Frozen:
    at: datetime
    took: timedelta
    price: Decimal
    raw: bytes


class Box(BaseModel, Generic[T]):
    held: T


class Private(BaseModel):
    a: int
    _b: int = PrivateAttr(0)


zones = st.sampled_from(
    [
        UTC,
        BERLIN,
        ZoneInfo("America/St_Johns"),
        ZoneInfo("Australia/Lord_Howe"),
        timezone(timedelta(hours=-11)),
    ]
)
folds = st.sampled_from([0, 1])
moments = st.builds(
    lambda at, zone, fold: at.replace(tzinfo=zone, fold=fold),
    st.datetimes(datetime(1990, 1, 1), datetime(2037, 1, 1))  # noqa: DTZ001 - they get a zone
    | st.just(REPEATED.replace(tzinfo=None)),
    zones,
    folds,
)
texts = st.text(st.characters(exclude_categories=["Cs"]))
events = st.builds(Event, at=moments, tags=st.sets(texts), shade=st.sampled_from(Shade))
frozen = st.builds(
    Frozen,
    moments,
    st.timedeltas(timedelta(days=-10_000), timedelta(days=10_000)),
    st.decimals(allow_nan=False, allow_infinity=False),
    texts.map(str.encode),
)
KINDS: list[tuple[Any, st.SearchStrategy[Any]]] = [
    (datetime, moments),
    (list[datetime], st.lists(moments)),
    (dict[str, datetime | None], st.dictionaries(texts, moments | st.none())),
    (Event, events),
    (Frozen, frozen),
    (list[Frozen], st.lists(frozen, max_size=3)),
    (Box[Event], st.builds(Box[Event], held=events)),
    (list[Box[Any]], st.lists(st.builds(Box, held=texts))),
    (Box, st.builds(Box[int], held=st.integers())),
    (Box[list[datetime]], st.builds(Box[list[datetime]], held=st.lists(moments, max_size=3))),
    (float, st.floats(allow_nan=False, allow_infinity=False) | st.integers(-(2**53), 2**53)),
    (set[Shade], st.sets(st.sampled_from(Shade))),
    (frozenset[int], st.frozensets(st.integers())),
    (tuple[date, time], st.tuples(st.dates(), st.times())),
]


@pytest.mark.parametrize(("annotation", "values"), KINDS, ids=range(len(KINDS)))
def test_values_of_a_type_pass_and_come_back_once_more_the_same(
    annotation: Any, values: st.SearchStrategy[Any]
) -> None:
    codec = Codec(annotation)

    @settings(suppress_health_check=[HealthCheck.too_slow])
    @given(values)
    def passes(value: Any) -> None:
        text, back = codec.through(value)
        assert difference(back, value) is None
        assert codec.decode(text) == back == codec.through(back)[1]

    passes()


@pytest.mark.parametrize("fold", [0, 1])
def test_the_repeated_hour_keeps_its_moment(fold: int) -> None:
    moment = REPEATED.replace(fold=fold)
    _, back = Codec(datetime).through(moment)
    assert back.astimezone(UTC) == moment.astimezone(UTC)
    assert back.utcoffset() == moment.utcoffset()


@pytest.mark.parametrize(
    ("back", "value"),
    [
        (REPEATED, REPEATED.replace(fold=1)),
        (REPEATED, REPEATED.replace(tzinfo=None)),
        (1, True),
        ([1], [True]),
        ("a", Word.A),
        (["a"], [Word.A]),
        ({"k": "a"}, {"k": Word.A}),
        (1, Decimal(1)),
        (1, 1.5),
        ([1], (1,)),
        (None, math.nan),
        (math.nan, math.nan),
        (b"bytes", "bytes"),
        ({1: 1}, {"1": 1}),
    ],
)
def test_what_would_be_another_is_told(back: Any, value: Any) -> None:
    assert difference(back, value) is not None


@pytest.mark.parametrize(
    ("annotation", "value", "field"),
    [
        (Any, datetime(2026, 1, 1, tzinfo=UTC), "datetime"),
        (Box, Box(held=REPEATED), "^value: held: "),
        (list[Box[Any]], [Box(held=1), Box(held=(1,))], r"^value: \[1\].held: "),
        (bytes, b"\xff", "bytes"),
        (list[str], [Word.A], r"^value: \[0\]: "),
    ],
)
def test_the_refusal_names_the_field(annotation: Any, value: Any, field: str) -> None:
    if annotation is Any:
        annotation = Box[Any]
        value, field = Box(held=value), "held"
    with pytest.raises(NotSerializable, match=field):
        Codec(annotation).through(value)


def test_a_private_attribute_that_json_leaves_out_is_told() -> None:
    value = Private(a=1)
    assert Codec(Private).through(value)[1] == value
    value._b = 2
    with pytest.raises(NotSerializable, match="_b"):
        Codec(Private).through(value)
