"""HTTP without a socket: the host's own web floor, in virtual time."""

from __future__ import annotations

import asyncio
import sys
import time
from datetime import timedelta
from importlib import import_module
from typing import Any

import pytest

from outlast import (
    Batch,
    HTTPException,
    Queue,
    Request,
    Response,
    UsageError,
    context,
    cron,
    database_webhook,
    every,
    handler,
    publish,
    receive,
    sleep,
    standard_webhook,
    start,
    step,
    transaction,
    workflow,
)
from outlast.core.resources import LOGS, RESOURCES, WORKFLOWS, Filter, Kind, path_of
from outlast.testing import Answer, Outlast

SECRET = "v1,whsec_" + "c2VjcmV0IG9mIHRoZSB0ZXN0cyBvbmx5"  # of these tests alone


@step
async def charge(cents: int) -> str:
    return f"paid {cents}"


@workflow
async def order(sku: str, quantity: int = 1) -> dict[str, str | None]:
    await sleep(10)
    return {"payment": await charge(quantity * 999), "sku": sku, "caller": context().caller.id}


@workflow
async def approval() -> str:
    await publish("asked", {"of": "the boss"})
    return str(await receive("answer", timeout=timedelta(days=14), default="none"))


@workflow(queue=Queue("tickets", key="user", concurrency=1))
async def ticket(user: str) -> str:
    await sleep(5)
    return f"for {user}"


@step
async def long_text() -> str:
    return "x" * 5_000


@workflow
async def long_lived() -> None:
    await long_text()


@workflow
async def refused() -> None:
    raise HTTPException(409, "out of stock", {"x-stock": "0"})


@workflow
async def broken() -> None:
    raise ZeroDivisionError("secret of the inside")


@workflow(idempotency="required", auth="user")
async def strict() -> str | None:
    return context().caller.id


@workflow(auth="secret:automations")
async def automated() -> str | None:
    return context().caller.key_name


@transaction
async def reserve(tx: Any) -> bool:
    return True


@workflow
async def reserves() -> bool:
    return await reserve()


@workflow(webhook=standard_webhook("HOOK_SECRET"))
async def hook(event: str) -> str:
    return event


@workflow(webhook=database_webhook("HOOK_SECRET", key="record.id"))
async def inserted(record: dict[str, int]) -> int:
    return record["id"]


@handler(methods=["GET", "PUT"])
async def page(request: Request) -> Response:
    return Response(f"{request.method} {request.path}?{request.query_string}", 201, {"x-page": "1"})


@handler
async def begins(request: Request) -> dict[str, Any]:
    form = await request.form()
    child = await start(order, str(form["sku"]))
    return {"started": child.workflow_id, "result": await child.result()}


@handler
def plainly(request: Request) -> bytes:
    return b"x" * len(request.body())


def test_what_was_loaded_anew_since_keeps_its_name(outlast: Outlast, monkeypatch: pytest.MonkeyPatch) -> None:
    # Another test may have loaded another project here.
    for each in [each for each in sys.modules if each.partition(".")[0] == "functions"]:
        monkeypatch.delitem(sys.modules, each)
    module = import_module("functions.checkout")
    monkeypatch.delitem(sys.modules, module.__name__)
    outlast.stub(module.reserve, returns=False)
    assert outlast.start(module.checkout, quantity=1, card="4242").workflow_id == "checkout:test-1"


def test_a_call_waits_in_virtual_time(outlast: Outlast) -> None:
    began, real = outlast.now, time.monotonic()
    answer = outlast.call(order, json={"sku": "w", "quantity": 2})
    assert answer.status == 200
    assert answer.json() == {"payment": "paid 1998", "sku": "w", "caller": None}
    assert answer.headers["content-type"] == "application/json"
    assert answer.headers["Idempotency-Replayed"] == "false"
    assert [each.name for each in answer.run.steps] == ["charge"]
    assert timedelta(seconds=10) <= outlast.now - began < timedelta(seconds=11)
    assert time.monotonic() - real < 9


async def test_it_is_awaited_in_async_tests(outlast: Outlast) -> None:
    outlast.stub(charge, returns="stubbed")
    answer = await outlast.call(order, json={"sku": "w"})
    assert answer.json()["payment"] == "stubbed"
    lost = outlast.call(order, json={"sku": "w"})
    with pytest.raises(UsageError, match="was not awaited"):
        assert lost.status
    assert (await lost).status == 200


def test_one_key_is_one_workflow_over_http_and_in_python(outlast: Outlast) -> None:
    keyed = outlast.with_key("order 7")
    first = keyed.call(order, json={"sku": "w"})
    again = keyed.call(order, json={"sku": "w"})
    other = keyed.call(order, json={"sku": "v"})
    assert (first.headers["idempotency-replayed"], again.headers["idempotency-replayed"]) == ("false", "true")
    assert again.body == first.body
    assert (other.status, other.json()["code"]) == (422, "idempotency_key_reused")
    assert keyed.run(order, "w").workflow_id == first.run.workflow_id
    assert len(outlast.stub(charge, returns="late").calls) == 0


def test_what_takes_long_is_answered_202_and_can_be_looked_for(outlast: Outlast) -> None:
    answer = outlast.call(approval, headers={"prefer": "respond-async"})
    assert answer.status == 202
    where = answer.headers["location"]
    assert outlast.call(where).json()["status"] == "PENDING"
    (waiting,) = outlast.call(f"{where}/steps").json()["steps"][1:]
    assert waiting["status"] == "RECEIVING"
    assert [each["value"] for each in outlast.call(f"{where}/events").json()["events"]] == [
        {"of": "the boss"}
    ]
    assert outlast.call(f"{where}/messages/answer", method="POST", json="yes").status in (200, 202)
    assert outlast.call(where, params={"wait": 5}).json()["output"] == "yes"
    assert answer.run.result == "yes"
    listed = outlast.call("/workflows/v1", params={"function": "approval", "status": "SUCCESS"}).json()
    assert [each["workflow_id"] for each in listed["workflows"]] == [answer.run.workflow_id]
    assert outlast.call(approval).status == 202, "after the minute that a host waits"


def test_cancel_over_http(outlast: Outlast) -> None:
    run = outlast.call(approval, headers={"prefer": "respond-async"}).run
    assert outlast.call(f"/workflows/v1/{run.workflow_id}/cancel", method="POST").status == 200
    assert run.status == "CANCELLED"
    assert outlast.call(f"/workflows/v1/{run.workflow_id}", method="PUT").status == 405


def test_operators_pause_a_queue_and_let_it_go_on(outlast: Outlast) -> None:
    assert outlast.call(ticket, json={"user": "ada"}).json() == "for ada"
    paused = outlast.call("/queues/v1/tickets/pause", method="POST", json={"why": "sold out"}).json()
    assert (paused["name"], paused["paused_why"]) == ("tickets", "sold out")
    waits = outlast.call(ticket, json={"user": "bob"}, headers={"prefer": "respond-async"})
    assert "sold out" in outlast.call(waits.headers["location"]).json()["waiting_on"]
    (queue,) = outlast.call("/queues/v1").json()["queues"]
    assert (queue["running"], queue["ready"], queue["limits"]) == (0, 1, {"concurrency": 1, "key": "user"})
    assert outlast.call("/queues/v1/tickets", method="PATCH", json={"concurrency": 0}).status == 422
    assert outlast.call("/queues/v1/tickets/resume", method="POST").status == 200
    assert outlast.finish(waits.run).result == "for bob"
    assert outlast.call("/queues/v1/nowhere").json()["code"] == "queue_not_found"


def test_every_listing_is_answered_with_each_of_its_filters(outlast: Outlast) -> None:
    run = outlast.call(approval).run
    _ = outlast.send(run, "no", topic="question")
    answers = {
        f"{path}?{name}": outlast.call(path, params={name: value})
        for each in RESOURCES
        if each.of in (None, WORKFLOWS)
        for path in [path_of(each.path, run.workflow_id)]
        for name, value in [("limit", "2"), *((one.name, _some(one)) for one in each.filters)]
    }
    failed = {asked: answer.status for asked, answer in answers.items() if answer.status != 200}
    assert set(failed.values()) == {501}
    assert {each.partition("?")[0] for each in failed if "error_group" not in each} == {
        "/errors/v1", "/catalog/v1", "/instances/v1", "/held/v1", path_of(LOGS.path, run.workflow_id),
    }  # fmt: skip
    logs = answers[f"{path_of(LOGS.path, run.workflow_id)}?limit"].json()
    assert (logs["code"], "caplog" in logs["detail"]) == ("not_in_tests", True)
    assert answers["/catalog/v1?limit"].json()["code"] == "not_in_tests"
    assert "outlast serve" in answers["/catalog/v1?limit"].json()["detail"]


def test_refusals_say_what_those_of_a_host_say(outlast: Outlast) -> None:
    """With the remedy: whoever reads a failing test has nothing else."""
    operator = outlast.as_key("secret")
    run = operator.start(approval)
    path = f"/workflows/v1/{run.workflow_id}"

    def told(below: str, json: Any) -> str:
        return str(operator.call(path + below, json=json, method="POST").json()["detail"])

    assert told("/retry", {}).endswith("can be retried; it has not ended: cancel it first, or wait")
    assert told("/rewind", {"to": "1"}).endswith("it has not ended: cancel it first, or wait")
    assert operator.call(f"{path}/pause", json={}, method="POST").status == 200
    assert "it is paused: resume it" in told("/retry", {})
    _ = operator.call(f"{path}/cancel", json={}, method="POST")
    _ = operator.finish(run)
    assert told("/messages/t", 1) == (
        f"the workflow {run.workflow_id} has ended as CANCELLED: it receives no more messages"
    )
    bulk = operator.call(
        "/workflows/v1/bulk", json={"verb": "nope", "filter": {"function": "x"}}, method="POST"
    )
    assert bulk.json()["detail"].endswith(", settle, not 'nope'")


def test_an_answer_to_head_has_no_body(outlast: Outlast) -> None:
    for path in ("/healthz", "/nothing"):
        assert outlast.call(path, method="HEAD").body == b""


def _some(filter: Filter) -> str:
    """A value that a filter takes."""
    of_kind = {Kind.FLAG: "true", Kind.TIMESTAMP: "2026-01-01", Kind.STATUS: "ERROR", Kind.PAIR: "a:b"}
    return filter.choices[0] if filter.choices else of_kind.get(filter.kind, "x")


def test_what_is_listed_of_one_workflow(outlast: Outlast) -> None:
    run = outlast.call(approval).run
    path = f"/workflows/v1/{run.workflow_id}"
    _ = outlast.send(run, "no", topic="question")
    (message,) = outlast.call(f"{path}/messages?topic=question").json()["messages"]
    assert message["message"] == "no"
    assert message["sent_at"].startswith("2026-01-01T00:01")
    assert outlast.call("/workflows/v1?held=any").json()["workflows"] == []
    assert outlast.call(f"{path}/pause", method="POST", json={}).status == 200
    (held,) = outlast.call("/workflows/v1?held=paused").json()["workflows"]
    assert held["workflow_id"] == run.workflow_id
    with_long = outlast.call(long_lived).run
    steps = f"/workflows/v1/{with_long.workflow_id}/steps"
    assert [len(each["output"]) for each in outlast.call(steps).json()["steps"]] == [5_000]
    (step,) = outlast.call(f"{steps}?brief=true").json()["steps"]
    assert (step["output"], step["output_bytes"]) == (None, 5_002)


def test_pages_of_workflows_follow_each_other(outlast: Outlast) -> None:
    runs = [outlast.run(order, f"{number}") for number in range(5)]
    found, path = [], "/workflows/v1?limit=2"
    while path:
        page_of = outlast.call(path).json()
        found += [each["workflow_id"] for each in page_of["workflows"]]
        path = page_of["next"]
    assert found == [each.workflow_id for each in reversed(runs)]


def test_failures_are_answers(outlast: Outlast) -> None:
    said_no = outlast.call(refused)
    assert (said_no.status, said_no.headers["x-stock"], said_no.json()["code"]) == (
        409,
        "0",
        "http_exception",
    )
    failed = outlast.call(broken)
    assert (failed.status, failed.json()["code"]) == (500, "workflow_error")
    assert b"secret of the inside" not in failed.body
    with pytest.raises(ZeroDivisionError):
        assert failed.run.result
    assert outlast.call(order, json={"quantity": "many"}).status == 422
    assert outlast.call(order, content="{", headers={"content-type": "application/json"}).status == 400
    assert outlast.call("/functions/v1/nothing").json()["code"] == "NOT_FOUND"
    assert outlast.call(page, method="DELETE").headers["allow"] == "GET, PUT, OPTIONS"


def test_who_calls(outlast: Outlast) -> None:
    ada, bob = outlast.as_user({"sub": "ada"}), outlast.as_user({"sub": "bob", "aud": "something else"})
    answer = ada.call(order, json={"sku": "w"})
    assert answer.json()["caller"] == "ada"
    assert outlast.as_nobody().call(order, json={"sku": "w"}).status == 401
    assert bob.call(order, json={"sku": "w"}).status == 401
    assert outlast.call(order, headers={"authorization": "Bearer nonsense"}).status == 401
    where = f"/workflows/v1/{answer.run.workflow_id}"
    assert ada.call(where).json()["output"]["caller"] == "ada"
    assert outlast.as_user({"sub": "eve"}).call(where).status == 404
    assert outlast.as_key("publishable").call(where).status == 401
    assert ada.call(strict).json()["code"] == "idempotency_key_missing"
    assert ada.with_key("k").call(strict).json() == "ada"
    assert outlast.with_key("k").call(strict).status == 401
    assert outlast.as_key("secret:automations").call(automated).json() == "automations"
    assert outlast.call(automated).json()["code"] == "INVALID_CREDENTIALS"
    with pytest.raises(UsageError, match="as_key takes"):
        outlast.as_key("user")


def test_tokens_end_in_the_time_of_the_test(outlast: Outlast) -> None:
    until = int(outlast.now.timestamp()) + 600
    ada = outlast.as_user({"sub": "ada", "exp": until})
    assert ada.call(order, json={"sku": "w"}).status == 200
    _ = outlast.advance(hours=1)
    assert "expired" in ada.call(order, json={"sku": "w"}).json()["message"]
    coming = outlast.as_user({"sub": "ada", "nbf": until + 3600 * 24})
    assert coming.call(order, json={"sku": "w"}).status == 401


def test_webhooks(outlast: Outlast, monkeypatch: pytest.MonkeyPatch) -> None:
    assert outlast.call(hook, json={"event": "paid"}).json()["code"] == "webhook_unavailable"
    monkeypatch.setenv("HOOK_SECRET", SECRET)
    delivered = outlast.with_key("msg_7").call(hook, json={"event": "paid"})
    assert delivered.json() == "paid"
    assert delivered.run.workflow_id == "hook:msg_7"
    assert outlast.call(hook, json={"event": "paid"}).run.workflow_id != "hook:msg_7"
    assert (
        outlast.as_nobody().call(hook, json={"event": "paid"}).json()["code"] == "webhook_signature_missing"
    )
    stale = {"webhook-timestamp": str(int(outlast.now.timestamp()) - 3600)}
    assert (
        outlast.call(hook, json={"event": "paid"}, headers=stale).json()["code"]
        == "webhook_timestamp_invalid"
    )
    forged = {"webhook-signature": "v1,bm8="}
    assert (
        outlast.call(hook, json={"event": "x"}, headers=forged).json()["code"] == "webhook_signature_invalid"
    )


def test_database_webhooks(outlast: Outlast, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HOOK_SECRET", "only the tests know it".replace(" ", "-"))
    answer = outlast.call(inserted, json={"record": {"id": 7}})
    assert answer.status == 202
    assert answer.run.result == 7
    assert answer.run.workflow_id == "inserted:7"
    assert outlast.as_nobody().call(inserted, json={"record": {"id": 8}}).status == 401


def test_handlers(outlast: Outlast) -> None:
    answer = outlast.call(page, "/7", method="PUT", params={"deep": "1"})
    assert (answer.status, answer.text, answer.headers["x-page"]) == (201, "PUT /7?deep=1", "1")
    assert outlast.call(page).text == "GET /?", "its first method, where POST is none"
    assert outlast.call(plainly, content=b"12345").body == b"xxxxx"
    begun = outlast.call(begins, data={"sku": "w"}).json()
    assert begun["result"]["payment"] == "paid 999"
    with pytest.raises(UsageError, match="not of a workflow"):
        assert answer.run.status


def test_cors(outlast: Outlast) -> None:
    asked = {"origin": "https://shop.test", "access-control-request-headers": "idempotency-key"}
    before = outlast.as_nobody().call(order, method="OPTIONS", headers=asked)
    assert before.status == 204
    assert "idempotency-key" in before.headers["access-control-allow-headers"]
    answer = outlast.call(order, json={"sku": "w"}, headers={"origin": "https://shop.test"})
    assert answer.headers["access-control-allow-origin"] == "*"
    assert "workflow-id" in answer.headers["access-control-expose-headers"].lower()


def test_streams(outlast: Outlast) -> None:
    stream = {"accept": "text/event-stream"}
    told = outlast.call(order, json={"sku": "w"}, headers=stream)
    assert told.headers["content-type"] == "text/event-stream"
    assert [each.event for each in told.events] == ["status", "step", "step", "result"]
    assert told.events[-1].data["body"]["payment"] == "paid 999"
    left = outlast.call(approval, headers=stream, patience=5)
    assert [(each.event, each.data.get("event")) for each in left.events] == [
        ("status", None),
        ("event", "asked"),
    ]
    assert left.run.status == "PENDING"


def test_a_client_that_goes_away_leaves_its_workflow(outlast: Outlast) -> None:
    with pytest.raises(UsageError, match="went away after 5 s"):
        _ = outlast.call(approval, patience=5)
    (row,) = outlast.call("/workflows/v1").json()["workflows"]
    assert row["status"] == "PENDING"


def test_a_transaction_that_nothing_stands_in_for_fails_the_test(outlast: Outlast) -> None:
    with pytest.raises(UsageError, match="stub\\(reserve"):
        _ = outlast.call(reserves)
    outlast.stub(reserve, returns=True)
    assert outlast.call(reserves).json() is True


def test_what_can_not_be_called(outlast: Outlast) -> None:
    with pytest.raises(UsageError, match="whole path: /functions/v1/order"):
        _ = outlast.call("order")
    with pytest.raises(UsageError, match="decorated with @workflow or @handler"):
        _ = outlast.call(charge)


async def test_real_io_in_a_step_of_a_call(outlast: Outlast) -> None:
    async def answer(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        writer.write((await reader.readline()).upper())
        writer.close()

    async with await asyncio.start_server(answer, "127.0.0.1", 0) as server:
        port = server.sockets[0].getsockname()[1]
        found: Answer = await outlast.call(talks, json={"port": port})
    assert found.json() == "HELLO\n"


@step
async def talk(port: int) -> str:
    reader, writer = await asyncio.open_connection("127.0.0.1", port)
    writer.write(b"hello\n")
    try:
        return (await reader.readline()).decode()
    finally:
        writer.close()


@workflow
async def talks(port: int) -> str:
    return await talk(port)


# --- schedules ----------------------------------------------------------------------------------------


@workflow(schedule=cron("0 9 * * 1-5", tz="Europe/Berlin"))
async def at_nine() -> str:
    tick = context().tick
    return "by hand" if tick is None else tick.nominal.isoformat()


def test_a_schedule_ticks_in_virtual_time(outlast: Outlast) -> None:
    assert outlast.run(at_nine).result == "by hand"
    _ = outlast.advance(days=1)
    assert outlast.call("/schedules/v1").json()["schedules"] == []
    outlast.schedule(at_nine)
    _ = outlast.advance(days=7)  # from 2026-01-02, a Friday
    shown = outlast.call("/schedules/v1/at_nine").json()
    assert (shown["state"], shown["upcoming"][0]) == ("active", "2026-01-09T08:00:00Z")
    listed = outlast.call("/workflows/v1?function=at_nine&status=SUCCESS").json()["workflows"]
    days = ["02", "05", "06", "07", "08"]
    ticks = sorted(each["workflow_id"] for each in listed if each["workflow_id"].startswith("schedule:"))
    assert ticks == [f"schedule:at_nine:2026-01-{day}T08:00:00Z" for day in days]
    assert outlast.call("/schedules/v1/at_nine/ticks").json()["ticks"] == []


def test_what_is_made_while_running_ticks_too(outlast: Outlast) -> None:
    _ = outlast.run(at_nine)  # so that it is known here
    given = {"name": "mine", "function": "at_nine", "every": 3600, "times": 3}
    assert outlast.call("/schedules/v1", method="POST", json=given).json() == {"created": "mine"}
    _ = outlast.advance(hours=5)
    assert outlast.call("/schedules/v1/mine").json()["state"] == "ended"
    found = outlast.call("/workflows/v1?function=at_nine").json()["workflows"]
    assert sum(each["workflow_id"].startswith("schedule:mine:") for each in found) == 3
    assert outlast.call("/schedules/v1", method="POST", json={**given, "every": 0}).status == 422


@workflow(schedule=every(hours=1))
async def hourly() -> None: ...


@workflow
async def asks() -> Any:
    return await receive("approved")


def test_days_of_many_ticks_pass_beside_what_waits_for_a_message(outlast: Outlast) -> None:
    asked = outlast.start(asks)
    outlast.schedule(hourly)
    _ = outlast.advance(days=7)
    assert len(outlast.call("/workflows/v1?function=hourly&limit=200").json()["workflows"]) == 7 * 24
    _ = outlast.send(asked, "yes", topic="approved")
    assert outlast.finish(asked).result == "yes"


def test_a_year_passes_without_anything_that_runs(outlast: Outlast) -> None:
    outlast.schedule(at_nine)
    began = outlast.now
    _ = outlast.advance(days=365)
    assert outlast.now - began == timedelta(days=365)


# --- ends that nobody here writes -----------------------------------------------------------------------


@step
async def ask_model(texts: list[str]) -> list[int]:
    return [len(each) for each in texts]


@workflow(queue=Queue("slow_models", batch=Batch(100, wait=0.5)))
async def embed_slowly(texts: list[str]) -> list[int]:
    await sleep(2)
    return await ask_model(texts)


@workflow(queue=Queue("impatient", concurrency=1, start_within=4))
async def impatient(nap_s: float = 0.0) -> None:
    await nap(nap_s)


@step
async def nap(s: float) -> None:
    await asyncio.sleep(s)


def test_who_calls_a_batch_that_sleeps_hears_of_its_end(outlast: Outlast) -> None:
    began = outlast.now
    answer = outlast.call(embed_slowly, json="hello")
    assert (answer.status, answer.json()) == (200, 5)
    assert outlast.now - began < timedelta(seconds=5)


def test_who_calls_what_expires_hears_of_it(outlast: Outlast) -> None:
    _ = outlast.start(impatient, nap_s=20)
    answer = outlast.call(impatient, json={})
    assert (answer.status, answer.json()["code"]) == (409, "expired")
    assert "start_within of queue impatient" in str(answer.run.error)


def test_what_a_pause_keeps_for_too_long_expires(outlast: Outlast) -> None:
    _ = outlast.run(impatient)  # so that its queue is known
    assert outlast.call("/queues/v1/impatient/pause", method="POST", json={}).status == 200
    late = outlast.start(impatient)
    _ = outlast.advance(seconds=3)
    assert late.status == "ENQUEUED"
    _ = outlast.advance(seconds=2)
    assert late.status == "CANCELLED"


def test_only_a_workflow_with_a_schedule_ticks(outlast: Outlast) -> None:
    with pytest.raises(UsageError, match="takes a workflow with a schedule"):
        outlast.schedule(charge)
