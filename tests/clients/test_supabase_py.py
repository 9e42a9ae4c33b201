"""supabase-py calls our functions unchanged."""

from __future__ import annotations

import json
from collections.abc import AsyncIterator, Iterator
from typing import Any

import httpx
import pytest

from supabase import (
    AsyncClient,
    AsyncClientOptions,
    Client,
    ClientOptions,
    FunctionsHttpError,
    FunctionsRelayError,
    acreate_client,
    create_client,
)
from tests.http import test_auth
from tests.http.conftest import OPEN, Start
from tests.http.harness import PUBLISHABLE, Served, fresh_key
from tests.tokens import project


@pytest.fixture(params=["sync", "async"])
def kind(request: pytest.FixtureRequest) -> str:
    return request.param


class Caller:
    """Either client, called alike."""

    def __init__(self, client: Client | AsyncClient) -> None:
        self.client = client

    async def __call__(self, function: str, **options: Any) -> Any:
        answer = self.client.functions.invoke(function, invoke_options=options)
        return answer if isinstance(answer, bytes | dict | list | str | int | None) else await answer


@pytest.fixture
async def invoke(host: Served, kind: str) -> AsyncIterator[Caller]:
    if kind == "sync":
        with httpx.Client() as http:
            yield Caller(create_client(host.url, PUBLISHABLE, ClientOptions(httpx_client=http)))
    else:
        async with httpx.AsyncClient() as ahttp:
            options = AsyncClientOptions(httpx_client=ahttp)
            yield Caller(await acreate_client(host.url, PUBLISHABLE, options))


async def test_a_dict_is_json(invoke: Caller) -> None:
    assert json.loads(await invoke("hello", body={"name": "Ada"})) == {"message": "Hello, Ada!"}
    assert await invoke("hello", body={"name": "Ada"}, responseType="json") == {"message": "Hello, Ada!"}


async def test_no_body_is_an_empty_call(invoke: Caller) -> None:
    assert await invoke("hello", responseType="json") == {"message": "Hello, World!"}


async def test_a_query_in_the_name_is_bound(invoke: Caller) -> None:
    assert await invoke("hello?name=Bob", responseType="json") == {"message": "Hello, Bob!"}
    assert await invoke("hello?name=Bob", method="GET", responseType="json") == {"message": "Hello, Bob!"}


async def test_a_text_of_json_is_read(invoke: Caller) -> None:
    assert await invoke("hello", body='{"name": "Ada"}', responseType="json") == {"message": "Hello, Ada!"}


async def test_texts_and_bytes_arrive_as_they_are(invoke: Caller) -> None:
    seen = await invoke("inputs/request", body="grüße", responseType="json")
    assert seen["body"] == "grüße"
    assert seen["headers"]["content-type"] == ["text/plain"]
    seen = await invoke("inputs/request", body=b"\x00\xff", responseType="json")
    assert seen["body"] == "\x00\\xff"
    assert seen["headers"]["content-type"] == ["application/octet-stream"]


async def test_answers_of_all_kinds(invoke: Caller) -> None:
    assert await invoke("answers/respond", body={"kind": "bytes"}) == b"\x00\xff\xfe"
    assert await invoke("answers/respond", body={"kind": "no-content"}) == b""
    assert await invoke("answers/nothing", responseType="json") is None


async def test_a_key_makes_it_once(host: Served, invoke: Caller) -> None:
    key = fresh_key()
    for _ in range(2):
        body = {"value": [1], "key": key}
        answer = await invoke(
            "answers/value", body=body, headers={"Idempotency-Key": key}, responseType="json"
        )
        assert answer == [1]
    assert host.seen(key) == 1


async def test_the_region_changes_nothing(host: Served, invoke: Caller) -> None:
    from supabase_functions.utils import FunctionRegion

    key = fresh_key()
    for region in (FunctionRegion.EuWest1, FunctionRegion.Any):
        body = {"value": 1, "key": key}
        headers = {"Idempotency-Key": key}
        answer = await invoke("answers/value", body=body, headers=headers, region=region, responseType="json")
        assert answer == 1
    assert host.seen(key) == 1


@pytest.mark.parametrize(
    ("function", "body", "status", "message"),
    [
        ("nowhere", {}, 404, "no function is served under this name"),
        ("hello", {"name": 5}, 422, "the input does not fit: name"),
        ("answers/refuse", {"status": 402, "detail": "no money"}, 402, "no money"),
        ("answers/fail", {}, 500, "the function failed with an uncaught exception; its log tells more"),
        ("inputs/keyed", {}, 400, "inputs/keyed must be called with an Idempotency-Key header"),
    ],
)
async def test_errors_say_what_we_say(
    invoke: Caller, function: str, body: dict[str, Any], status: int, message: str
) -> None:
    with pytest.raises(FunctionsHttpError) as raised:
        await invoke(function, body=body)
    assert raised.value.message == message
    assert raised.value.status == status


@pytest.fixture(scope="module")
def full(start_host: Start) -> Iterator[Served]:
    """A host that has no place left."""
    host = start_host(OPEN, workflows_max=1, calls_per_caller_max=9, caller_running_max=9)
    key = fresh_key()
    host.begin("held", key)
    yield host
    host.open(key)


def test_faults_of_the_host_are_relay_errors(full: Served) -> None:
    with httpx.Client() as http:
        client = create_client(full.url, PUBLISHABLE, ClientOptions(httpx_client=http))
        with pytest.raises(FunctionsRelayError) as raised:
            client.functions.invoke("hello", {"body": {}})
    assert '"overloaded"' in raised.value.message


def test_users_and_anonymous_callers_are_let_in(start_host: Start) -> None:
    with project() as signer, httpx.Client() as http:
        host = test_auth.started(start_host, signer)
        client = create_client(host.url, test_auth.PUBLISHABLE, ClientOptions(httpx_client=http))
        told: Any = client.functions.invoke("guarded", {"body": {}, "responseType": "json"})
        assert (told["mode"], told["id"]) == ("publishable", None)
        with pytest.raises(FunctionsHttpError):
            client.functions.invoke("guarded/user", {"body": {}})
        client.functions.set_auth(signer.token("ada"))
        told = client.functions.invoke("guarded/user", {"body": {}, "responseType": "json"})
        assert (told["mode"], told["id"]) == ("user", "ada")
