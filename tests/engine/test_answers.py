"""Results of workflows, inputs of children, messages, events: nothing changes unseen, no done work fails."""

from __future__ import annotations

import asyncio
import dataclasses
import math
from datetime import UTC, datetime
from decimal import Decimal
from typing import Any
from uuid import UUID

import pytest
from pydantic import BaseModel, Field, SecretStr

from outlast import (
    HTTPException,
    InvalidInput,
    NotSerializable,
    UsageError,
    publish,
    send,
    start,
    step,
    workflow,
)
from outlast.core.observations import ResultChanged
from outlast.core.storable import holds_nul
from outlast.sdk.workflows import Workflow
from tests.engine.harness import engine_on

ID = UUID(int=7)
MOMENT = datetime(2026, 1, 1, tzinfo=UTC)


class Aliased(BaseModel):
    order_id: int = Field(alias="orderId")
    note: str = Field("", validation_alias="in", serialization_alias="out")


class Unprintable:
    def __repr__(self) -> str:
        raise ValueError


class Base(BaseModel):
    a: int


class Cut(Base):
    b: int = 0


class Secret(BaseModel):
    key: SecretStr


class Partial(BaseModel):
    shown: int
    hidden: int = Field(0, exclude=True)


class Anything(BaseModel):
    value: Any


class Nan(BaseModel):
    value: float | None = None


@dataclasses.dataclass
class Order:
    sku: str


def returning(annotation: Any, value: Any) -> Workflow[..., Any]:
    async def flow() -> Any:
        return value

    flow.__annotations__["return"] = annotation
    return workflow(flow)


def fails_never() -> None:
    pass


circle: list[Any] = []
circle.append(circle)


@pytest.mark.parametrize(
    ("annotation", "value", "stored"),
    [
        (dict, {"id": ID}, {"id": str(ID)}),
        (Any, {1, 2}, [1, 2]),
        (Any, [ID, MOMENT, Decimal("1.50")], [str(ID), "2026-01-01T00:00:00Z", "1.50"]),
        (float, math.nan, "NaN"),
        (Any, {"rate": -math.inf}, {"rate": "-Infinity"}),
        (Any, b"\xff\x00", "_wA="),
        (Any, {1: "a"}, {"1": "a"}),
        (int, "many", "many"),
        (str, None, None),
        (Order, Base(a=1), {"a": 1}),
        (Base, Cut(a=1, b=2), {"a": 1, "b": 2}),
        (Any, Aliased(orderId=1), {"orderId": 1, "out": ""}),
        (Any, [Unprintable()], ["a Unprintable"]),
        pytest.param(Any, 10**6000, None, id="long"),
        pytest.param(Any, circle, None, id="circle"),
        (Any, "half \ud800", None),
        (Any, {"half": ["\udfff"]}, None),
    ],
)
async def test_work_that_is_done_succeeds_whatever_it_answers(
    database: str, annotation: Any, value: Any, stored: Any
) -> None:
    flow = returning(annotation, value)
    async with engine_on(database, flow) as bench:
        workflow_id = await bench.start(flow)
        result = await bench.result(workflow_id)
        if stored is None and value is not None:
            assert isinstance(result, str | dict | list)
        else:
            assert result == stored
        assert (await bench.row(workflow_id))["status"] == "SUCCESS"
        told = [each.reason for each in bench.observations if isinstance(each, ResultChanged)]
        assert len(told) == 1
        assert "the result of workflow 'flow'" in told[0]


@pytest.mark.parametrize(
    ("annotation", "value", "stored"),
    [
        (float, 0, 0.0),
        (list[float], [1, 2.5], [1.0, 2.5]),
        (Aliased, Aliased(orderId=1), {"orderId": 1, "out": ""}),
        (UUID, ID, str(ID)),
        (Any, "a\0b", "a\0b"),
    ],
)
async def test_what_fits_is_told_by_nobody(database: str, annotation: Any, value: Any, stored: Any) -> None:
    flow = returning(annotation, value)
    async with engine_on(database, flow) as bench:
        assert await bench.run(flow) == stored
        changed = [each for each in bench.observations if isinstance(each, ResultChanged)]
        assert not changed


async def test_a_parent_gets_a_childs_answer_as_the_child_annotates_it_or_as_json(database: str) -> None:
    @workflow
    async def aliased(given: Aliased) -> Aliased:
        return given

    @workflow
    async def other() -> Order:
        return {"id": ID}  # type: ignore[return-value]

    @workflow
    async def parent() -> list[Any]:
        first = await (await start(aliased, Aliased(**{"orderId": 3, "in": "x"}))).result()
        second = await (await start(other)).result()
        return [type(first).__name__, first.order_id, first.note, second]

    async with engine_on(database, parent, aliased, other) as bench:
        assert await bench.run(parent) == ["Aliased", 3, "x", {"id": str(ID)}]


@pytest.mark.postgres
@pytest.mark.parametrize(
    ("annotation", "value", "field"),
    [
        (Secret, Secret(key=SecretStr("s")), r"key"),
        (Base, Cut(a=1, b=2), r"Cut"),
        (list[Base], [Cut(a=1)], r"\['given'\]\[0\]"),
        (Partial, Partial(shown=1, hidden=2), r"hidden"),
        (Anything, Anything(value=MOMENT), r"value"),
        (Any, {"at": [MOMENT]}, r"\['given'\]\['at'\]\[0\]"),
        (Any, math.nan, r"given"),
        (float, math.nan, r"input"),
        (Nan, Nan(value=math.nan), r"value"),
        (Any, (1, 2), r"\['given'\]"),
    ],
)
async def test_an_input_that_would_change_is_refused_with_its_field(
    database: str, annotation: Any, value: Any, field: str
) -> None:
    async def child(given: Any) -> None:
        pass

    child.__annotations__["given"] = annotation
    served = workflow(child)
    with pytest.raises(NotSerializable, match=rf"child.*{field}"):
        served.definition.inputs.encode_call((value,), {})

    @workflow
    async def parent() -> str:
        try:
            await start(served, value)
        except NotSerializable:
            return "refused"
        return "started"

    async with engine_on(database, parent, served) as bench:
        assert await bench.run(parent) == "refused"
        assert len(await bench.rows("select 1 from outlast.workflow_status")) == 1


@pytest.mark.parametrize("value", [len, object(), lambda: 1, asyncio.Lock])
async def test_what_has_no_json_form_is_named_without_an_annotation(database: str, value: Any) -> None:
    @workflow
    async def flow() -> list[str]:
        told = []
        for call in (lambda: publish("e", value), lambda: send("x:1", value)):
            try:
                await call()
            except NotSerializable as error:
                told.append(str(error))
        return told

    async with engine_on(database, flow) as bench:
        told = await bench.run(flow)
    assert [each.split(":")[0] for each in told] == ["the event's value", "the message"]
    assert all("give plain JSON values" in each and str(value)[:10] in each for each in told)
    assert not any("annotation" in each for each in told)


@pytest.mark.postgres
async def test_no_error_of_a_workflow_holds_what_sql_cannot_read(database: str) -> None:
    text = "no \0 here"

    @step
    async def fails() -> None:
        raise LookupError(text)

    @workflow
    async def refuses() -> None:
        raise HTTPException(404, text)

    @workflow
    async def halves() -> None:
        raise HTTPException(404, "half \ud800")

    @workflow
    async def details() -> None:
        raise HTTPException(409, {"name": [text]})

    @workflow
    async def raises() -> None:
        await fails()

    flows = (refuses, halves, details, raises)
    async with engine_on(database, *flows) as bench:
        for flow in flows:
            await bench.failure(await bench.start(flow))
        rows = await bench.rows(
            "select function, error::text as text, error ->> 'detail' as detail, error::jsonb"
            " from outlast.workflow_status"
        )
    assert not any(holds_nul(row["text"]) for row in rows)
    assert {row["function"]: row["detail"] for row in rows} == {
        "refuses": "no \ufffd here",
        "halves": "half ?",
        "details": r'{"name":["no \ufffd here"]}',
        "raises": None,
    }


async def test_a_name_that_postgres_cannot_hold_is_refused_at_once(database: str) -> None:
    @workflow
    async def flow() -> list[str]:
        told = []
        for call in (
            lambda: publish("half \ud800"),
            lambda: send("x:\ud800", 1),
            lambda: send("x:1", 1, "half \ud800"),
            lambda: send("x:1", {"name": "\0"}),
        ):
            try:
                await call()
            except UsageError as error:
                told.append(str(error))
        return told

    async with engine_on(database, flow) as bench:
        told = await bench.run(flow)
    assert len(told) == 4
    assert "the message holds a NUL character" in told[3]
    with pytest.raises(UsageError, match=r"step\(name\) holds a NUL"):
        step(name="a\0b")(fails_never)


@workflow
async def takes_text(value: str) -> list[str]:
    return [value]


@pytest.mark.postgres
async def test_a_call_takes_no_nul_and_what_was_stored_with_it_runs(database: str) -> None:
    async with engine_on(database, takes_text) as bench:
        with pytest.raises(NotSerializable, match=r"the input holds a NUL character.*leave it out"):
            await bench.run(takes_text, "a\0b")
        await bench.rows(
            "insert into outlast.workflow_status (workflow_id, function, status, input, claimable_at)"
            " values ('takes_text:1', 'takes_text', 'ENQUEUED', %s::json, now()) returning workflow_id",
            r'{"value": "a\u0000b"}',
        )
        assert await bench.result("takes_text:1") == ["a\0b"]


async def test_models_are_read_by_alias_and_by_name() -> None:
    async def flow(given: Aliased) -> None:
        pass

    inputs = workflow(flow).definition.inputs
    for body in ('{"orderId": 1, "in": "x"}', '{"order_id": 1, "note": "x"}'):
        assert inputs.bind_json(body) == {"given": Aliased(**{"orderId": 1, "in": "x"})}
    with pytest.raises(InvalidInput):
        inputs.bind_json("{}")
