"""Values to JSON and back: what is accepted comes back the same, what would not is refused at once."""

from __future__ import annotations

import dataclasses
import enum
import math
from datetime import UTC, date, datetime, timedelta
from decimal import Decimal
from typing import TYPE_CHECKING, Any, Generic, NoReturn, TypeVar
from uuid import UUID

import pytest
from hypothesis import given
from hypothesis import strategies as st
from pydantic import BaseModel, Field
from typing_extensions import TypedDict

from outlast.core.codec import Codec, return_annotation
from outlast.core.errors import NotSerializable, UsageError

if TYPE_CHECKING:
    from psycopg import AsyncConnection

T = TypeVar("T")

json_values = st.recursive(
    st.none()
    | st.booleans()
    | st.integers()
    | st.floats(allow_nan=False, allow_infinity=False)
    | st.text(st.characters(exclude_categories=["Cs"])),
    lambda inner: (
        st.lists(inner, max_size=5)
        | st.dictionaries(st.text(st.characters(exclude_categories=["Cs"])), inner, max_size=5)
    ),
)


class Colour(enum.Enum):
    RED = "red"


class Size(enum.StrEnum):
    SMALL = "small"


class Base(BaseModel):
    name: str


class Derived(Base):
    extra: int


class Page(BaseModel, Generic[T]):
    items: list[T]


class Stamped(BaseModel):
    id: int
    hidden: str = Field("", exclude=True)


@dataclasses.dataclass
class Order:
    sku: str
    price: Decimal
    at: datetime
    sizes: list[Size] = dataclasses.field(default_factory=list)


@dataclasses.dataclass(eq=False)
class Bare:
    number: float | None


class Movie(TypedDict):
    title: str
    year: int | None


@given(json_values)
def test_plain_json_comes_back_the_same(value: Any) -> None:
    text, decoded = Codec().through(value)
    assert decoded == value
    assert repr(decoded) == repr(value)  # -0.0, 1 and 1.0 and True
    assert repr(Codec().decode(text)) == repr(value)
    assert decoded is not value or not isinstance(value, list | dict)


@pytest.mark.parametrize(
    "value",
    [
        math.nan,
        math.inf,
        [1.0, -math.inf],
        "\ud800",
        {"\udfff": 1},
        (1, 2),
        {1: "a"},
        {None: 1},
        {1, 2},
        b"bytes",
        datetime(2026, 1, 1, tzinfo=UTC),
        Decimal("1.5"),
        Size.SMALL,
        Order("a", Decimal(1), datetime(2026, 1, 1, tzinfo=UTC)),
        object(),
        {"deep": [{"in": {4}}]},
        len,
    ],
)
def test_what_is_no_json_is_refused_without_an_annotation(value: Any) -> None:
    with pytest.raises(NotSerializable):
        Codec(of="the result of step 'x'").through(value)


def test_the_refusal_says_where_and_what_to_do() -> None:
    with pytest.raises(NotSerializable, match=r"result of step 'x'.*\['a'\]\[1\].*annotate the return type"):
        Codec(of="the result of step 'x'").through({"a": [1, {2}]})


def test_values_nested_too_deep_or_within_themselves_are_refused() -> None:
    deep: list[Any] = []
    for _ in range(100_000):
        deep = [deep]
    circle: list[Any] = []
    circle.append(circle)
    for value in (deep, circle):
        with pytest.raises(NotSerializable):
            Codec().through(value)
        with pytest.raises(NotSerializable):
            Codec(list[Any]).through(value)
    while deep:
        deep = deep.pop()


def test_what_can_be_written_but_not_read_again_is_refused() -> None:
    deep: list[Any] = []
    for _ in range(220):
        deep = [deep]
    for value in (deep, 10**6000):
        with pytest.raises(NotSerializable):
            Codec().through(value)


@pytest.mark.parametrize(
    "value",
    ["\0", "a\0b", 2**70, -(10**40), 1e308, 5e-324, "x" * 1_000_000, [[[[[]]]]], -0.0, "\U0010ffff", ""],
)
def test_edges_of_json(value: Any) -> None:
    assert repr(Codec().through(value)[1]) == repr(value)


AT = datetime(2026, 1, 2, 3, 4, 5, 678901, tzinfo=UTC)


@pytest.mark.parametrize(
    ("annotation", "value"),
    [
        (int, 2**80),
        (datetime, AT),
        (date, date(2026, 1, 2)),
        (timedelta, timedelta(days=3, microseconds=5)),
        (Decimal, Decimal("1.10")),
        (UUID, UUID(int=5)),
        (bytes, b"plain"),
        (tuple[int, str], (1, "a")),
        (set[int], {1, 2}),
        (frozenset[str], frozenset({"a"})),
        (dict[int, str], {1: "a"}),
        (dict[UUID, int], {UUID(int=1): 2}),
        (Colour, Colour.RED),
        (Size, Size.SMALL),
        (list[Size], [Size.SMALL]),
        (Order, Order("a", Decimal("9.90"), AT, [Size.SMALL])),
        (Movie, Movie(title="Alien", year=None)),
        (Base, Base(name="a")),
        (Base | None, None),
        (Derived | Base, Derived(name="a", extra=1)),
        (int | str, "1"),
        (int | None, None),
        (Page[Base], Page[Base](items=[Base(name="a")])),
        (Page[int], Page[int](items=[1])),
        (list[dict[str, list[int]]], [{"a": [1]}]),
        (Any, {"a": 1}),
        (float, 0.1),
    ],
    ids=repr,  # from Python 3.14 on all unions have one name
)
def test_annotated_values_come_back_as_what_they_are(annotation: Any, value: Any) -> None:
    codec = Codec(annotation)
    text, decoded = codec.through(value)
    assert decoded == value
    assert type(decoded) is type(value)
    assert codec.decode(text) == value


@pytest.mark.parametrize(
    ("annotation", "value"),
    [
        (int, "1"),
        (str, 1),
        (str, Size.SMALL),
        (bool, 1),
        (int, True),
        (list[int], (1,)),
        (float, math.nan),
        (float | None, math.nan),
        (list[float | None], [math.nan]),
        (dict[str, float | None], {"a": math.inf}),
        (Bare, Bare(math.nan)),
        (Base, Derived(name="a", extra=1)),
        (list[Base], [Derived(name="a", extra=1)]),
        (Stamped, Stamped(id=1, hidden="lost")),
        (Base, {"name": "a"}),
        (str, "\ud800"),
        (bytes, b"\xff\xfe"),
        (int | None, "a"),
    ],
)
def test_what_would_come_back_as_something_else_is_refused(annotation: Any, value: Any) -> None:
    with pytest.raises(NotSerializable):
        Codec(annotation).through(value)


def test_objects_without_equality_are_compared_by_what_they_hold() -> None:
    assert Codec(Bare).through(Bare(1.5))[1].number == 1.5
    assert Codec(list[Bare]).through([Bare(None)])[1][0].number is None


def test_a_value_is_a_copy_live_as_on_replay() -> None:
    shared = [1]
    _, decoded = Codec(list[list[int]]).through([shared, shared])
    assert decoded[0] is not decoded[1]
    assert decoded[0] is not shared


def test_annotations_that_json_cant_carry_are_refused_at_once() -> None:
    class Opaque:
        pass

    with pytest.raises(UsageError, match="has no JSON form"):
        Codec(Opaque, of="the result of step 'x'")


async def _for_type_checkers(tx: AsyncConnection[Any]) -> int:
    return 1


def _never() -> NoReturn:
    raise ValueError


def _unknown() -> Missing:  # type: ignore[name-defined]  # noqa: F821
    pass


def test_only_the_annotation_of_the_result_is_resolved() -> None:
    assert return_annotation(_for_type_checkers) is int
    assert Codec(return_annotation(_never)).through(None)[1] is None
    with pytest.raises(UsageError, match=r"_unknown.*Missing"):
        return_annotation(_unknown)
