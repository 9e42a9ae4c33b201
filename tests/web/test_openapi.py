"""The OpenAPI document: it is whole, it tells functions apart, and it says what is really answered.

Annotations are evaluated here, unlike elsewhere: models within a function are found in no other way.
"""

import json
import re
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import timedelta
from enum import Enum
from typing import Annotated, Any, Literal, cast
from unittest.mock import Mock

import httpx
import pytest
from pydantic import BaseModel, Field, SecretStr

from outlast import Request, Response, handler, workflow
from outlast.core.records import RunningStep
from outlast.web.http.problems import Problem
from outlast.web.openapi import functions as openapi_functions
from outlast.web.openapi.document import document
from tests.web.harness import SECRET, File, Project, event, step
from tests.web.harness import workflow as workflow_row

METHODS = {"get", "post", "put", "patch", "delete"}
Node = dict[str, Any]


def shop() -> File:
    class Order(BaseModel):
        sku: str
        quantity: int = 1

    @dataclass
    class Receipt:
        payment: str

    @workflow(idempotency="required", methods=["POST"])
    async def checkout(order: Order) -> Receipt:
        """Sell a widget.

        Waits until there is one.
        """
        return Receipt("paid")

    @workflow
    async def refund(order: list[Order], reason: str | None = None) -> bool:
        return True

    return File("checkout", served={"checkout": checkout.definition, "checkout/refund": refund.definition})


def kitchen() -> File:
    class Order(BaseModel):
        dish: str

    @workflow(methods=["GET", "POST"])
    def cook(table: int, dish: Order | None = None, tags: list[str] = [], kind: Colour | None = None):  # noqa: B006
        return {"table": table}

    return File("cook", served={"cook": cook.definition})


class Colour(Enum):
    RED = "red"


class Cat(BaseModel):
    kind: Literal["cat"]


class Dog(BaseModel):
    kind: Literal["dog"]
    puppies: list["Dog"] = []


def zoo() -> File:
    @workflow
    async def feed(animal: Annotated[Cat | Dog, Field(discriminator="kind")]) -> Dog:
        """Feed it."""
        return Dog(kind="dog")

    @workflow
    async def walk(dog: Dog) -> None: ...

    return File("feed", served={"feed": feed.definition, "feed/walk": walk.definition})


def plain() -> File:
    @handler(methods=["GET"])
    def hello(request: Request) -> str:
        """Say hello."""
        return "hello"

    async def app(scope: Any, receive: Any, send: Any) -> None: ...

    return File("hello", served={"hello": hello.definition, "hello/*": app})


def hooks() -> File:
    @workflow
    async def hook(request: Request) -> Response:
        return Response("thanks", 201)

    return File("hook", served={"hook": hook.definition})


def every_file() -> list[File]:
    return [
        shop(),
        kitchen(),
        zoo(),
        plain(),
        hooks(),
        File("lost", error="line 3: no module named 'sicret'"),
    ]


def made(*files: File, verify_jwt: bool = True) -> Node:
    return document(cast(Any, files), "1.2.3", lambda function, auth: verify_jwt and auth is None)


def nodes(value: Any) -> Iterator[Node]:
    if isinstance(value, dict):
        yield value
    for each in value.values() if isinstance(value, dict) else value if isinstance(value, list) else ():
        yield from nodes(each)


def operations(root: Node) -> Iterator[tuple[str, Node, Node]]:
    for path, item in root["paths"].items():
        for method in METHODS & set(item):
            yield path, item, item[method]


def lookup(root: Node, value: Node) -> Node:
    while "$ref" in value:
        kind, name = value["$ref"].removeprefix("#/components/").split("/")
        value = root["components"][kind][name]
    return value


# --- it is whole --------------------------------------------------------------------------------------------


@pytest.mark.parametrize("files", [[], every_file()], ids=["no functions", "every kind"])
def test_references_lead_somewhere(files: list[File]) -> None:
    root = made(*files)
    references = [node["$ref"] for node in nodes(root) if isinstance(node.get("$ref"), str)]
    assert references
    for each in references:
        _, components, kind, name = each.split("/")
        assert name in root[components][kind], each
    mapped = [
        each for node in nodes(root) for each in node.get("discriminator", {}).get("mapping", {}).values()
    ]
    assert all(each.removeprefix("#/components/schemas/") in root["components"]["schemas"] for each in mapped)
    assert bool(mapped) == bool(files)


def test_names_of_components_are_allowed_ones() -> None:
    for kind in made(*every_file())["components"].values():
        assert all(re.fullmatch(r"[A-Za-z0-9._-]+", name) for name in kind)


def test_schemas_hold_no_definitions_of_their_own() -> None:
    assert not any("$defs" in node for node in nodes(made(*every_file())))


def test_operation_ids_are_unique() -> None:
    ids = Counter(operation["operationId"] for _, _, operation in operations(made(*every_file())))
    assert set(ids.values()) == {1}
    assert "checkout.refund.patch" in ids


def test_parameters_are_unique_and_those_of_paths_are_there() -> None:
    root = made(*every_file())
    for path, item, operation in operations(root):
        parameters = [
            lookup(root, each) for each in [*item.get("parameters", []), *operation.get("parameters", [])]
        ]
        places = Counter((each["name"], each["in"]) for each in parameters)
        assert set(places.values()) <= {1}, path
        assert {each["name"] for each in parameters if each["in"] == "path"} == set(
            re.findall(r"{(\w+)}", path)
        )
        assert all(each["required"] for each in parameters if each["in"] == "path")
        assert all("schema" in each for each in parameters)


def test_every_answer_is_described() -> None:
    root = made(*every_file())
    for path, _, operation in operations(root):
        for status, answer in operation["responses"].items():
            assert re.fullmatch(r"[2-5]\d\d|default", status), path
            assert lookup(root, answer)["description"]
        assert operation["summary"]
        for requirement in operation["security"]:
            assert set(requirement) <= set(root["components"]["securitySchemes"])


# --- functions ----------------------------------------------------------------------------------------------


def test_models_of_the_same_name_are_kept_apart() -> None:
    root = made(shop(), kitchen())
    body = root["paths"]["/functions/v1/checkout"]["post"]["requestBody"]
    assert body["required"]
    order = lookup(root, body["content"]["application/json"]["schema"])
    assert order["properties"]["sku"] == {"title": "Sku", "type": "string"}
    cook = lookup(
        root,
        root["paths"]["/functions/v1/cook"]["post"]["requestBody"]["content"]["application/json"]["schema"],
    )
    dish = lookup(root, cook["properties"]["dish"]["anyOf"][0])
    assert list(dish["properties"]) == ["dish"]
    refund = root["components"]["schemas"]["checkout.refund.input"]
    assert list(lookup(root, refund["properties"]["order"]["items"])["properties"]) == ["sku", "quantity"]


def test_awkward_names_do_not_clash() -> None:
    class input(BaseModel):  # noqa: N801
        a: int

    @workflow
    async def one(x: list[input]) -> int:
        return 1

    class Other(BaseModel):
        b: int

    @workflow
    async def two(x: list[Other]) -> int:
        return 1

    root = made(File("f", served={"f": one.definition, "f/input": two.definition}))
    first = root["paths"]["/functions/v1/f"]["post"]["requestBody"]["content"]["application/json"]["schema"]
    second = root["paths"]["/functions/v1/f/input"]["post"]["requestBody"]["content"]["application/json"][
        "schema"
    ]
    for schema, field in [(first, "a"), (second, "b")]:
        items = lookup(root, lookup(root, schema)["properties"]["x"]["items"])
        assert list(items["properties"]) == [field]


def test_unions_and_recursion() -> None:
    root = made(zoo())
    animal = lookup(root, _body(root, "feed"))["properties"]["animal"]
    assert lookup(root, {"$ref": animal["discriminator"]["mapping"]["dog"]})["title"] == "Dog"
    dog = lookup(root, _body(root, "feed/walk"))
    assert lookup(root, dog["properties"]["puppies"]["items"]) is dog


def _body(root: Node, name: str) -> Node:
    body: Node = root["paths"][f"/functions/v1/{name}"]["post"]["requestBody"]["content"]["application/json"][
        "schema"
    ]
    return body


def test_output_and_text_come_from_annotation_and_docstring() -> None:
    root = made(shop(), kitchen())
    operation = root["paths"]["/functions/v1/checkout"]["post"]
    assert operation["summary"] == "Sell a widget."
    assert operation["description"] == "Sell a widget.\n\nWaits until there is one."
    content = operation["responses"]["200"]["content"]
    assert list(lookup(root, content["application/json"]["schema"])["properties"]) == ["payment"]
    assert "text/event-stream" in content
    cook = root["paths"]["/functions/v1/cook"]["post"]["responses"]["200"]["content"]
    assert cook["application/json"]["schema"] == {}


def test_output_promises_no_form_of_durations_that_is_not_written() -> None:
    """pydantic writes an hour and a second as PT1H1S, which isn't a `duration` of RFC 3339."""

    @workflow
    async def delay(by: timedelta) -> list[timedelta]:
        return [by]

    root = made(File("delay", served={"delay": delay.definition}))
    schemas = root["components"]["schemas"]
    assert schemas["delay.output"]["items"] == {"type": "string"}
    assert schemas["delay.input"]["properties"]["by"]["format"] == "duration"


def test_methods_are_those_that_are_allowed() -> None:
    root = made(*every_file())
    assert METHODS & set(root["paths"]["/functions/v1/checkout"]) == {"post"}
    assert METHODS & set(root["paths"]["/functions/v1/checkout/refund"]) == METHODS
    assert METHODS & set(root["paths"]["/functions/v1/hello"]) == {"get"}


def test_without_a_body_the_query_is_the_input() -> None:
    operation = made(kitchen())["paths"]["/functions/v1/cook"]["get"]
    assert "requestBody" not in operation
    query = {each["name"]: each["required"] for each in operation["parameters"] if each.get("in") == "query"}
    # What is written as JSON in a query isn't told.
    assert query == {"table": True, "kind": False, "tags": False}


def test_a_required_key_is_required() -> None:
    root = made(shop())
    required = {
        name: [lookup(root, each).get("required", False) for each in item["post"]["parameters"]]
        for name, item in root["paths"].items()
        if name.startswith("/functions/")
    }
    assert required == {
        "/functions/v1/checkout": [True, False, False],
        "/functions/v1/checkout/refund": [False, False, False],
    }
    names = [
        lookup(root, each)["name"] for each in root["paths"]["/functions/v1/checkout"]["post"]["parameters"]
    ]
    assert names == ["Idempotency-Key", "Prefer", "Last-Event-ID"]


def test_what_takes_paths_below_its_own_says_so() -> None:
    root = made(*every_file())
    below = {path for path in root["paths"] if path.endswith("/{path}")}
    # The application beside the handler answers below it.
    assert below == {"/functions/v1/hello/{path}", "/functions/v1/hook/{path}"}
    assert METHODS & set(root["paths"]["/functions/v1/hello/{path}"]) == METHODS


def test_broken_files_are_left_out() -> None:
    root = made(*every_file())
    assert not any("lost" in path for path in root["paths"])
    assert "sicret" not in str(root)


def test_a_type_that_cannot_be_described_costs_only_its_own_schema(caplog: pytest.LogCaptureFixture) -> None:
    class Odd(BaseModel):
        @classmethod
        def __get_pydantic_json_schema__(cls, core_schema: Any, handler: Any) -> Any:
            raise RuntimeError("not today")

    @workflow
    async def odd(value: Odd) -> int:
        return 1

    root = made(File("odd", served={"odd": odd.definition}), shop())
    assert _body(root, "odd") == {}
    assert "/functions/v1/checkout" in root["paths"]
    assert "not today" in caplog.text


def test_who_may_call() -> None:
    keys: list[Node] = [{"bearer": []}, {"apikey": []}]
    for verify_jwt, security in [(True, keys), (False, [*keys, {}])]:
        paths = made(shop(), verify_jwt=verify_jwt)["paths"]
        assert paths["/functions/v1/checkout"]["post"]["security"] == security
        assert paths["/workflows/v1"]["get"]["security"] == keys
        assert paths["/healthz"]["get"]["security"] == [{}]


def test_functions_that_say_themselves_whom_they_let_in() -> None:
    def of(**options: Any) -> Any:
        @workflow(**options)
        async def guarded() -> None: ...

        served = {"guarded": guarded.definition}
        paths = made(File("guarded", served=served))["paths"]
        return paths["/functions/v1/guarded"]["post"]["security"]

    assert of(auth="user") == [{"bearer": []}]
    assert of(auth="secret:crons") == [{"apikey": []}]
    assert of(auth=["publishable", "secret"]) == [{"apikey": []}]
    assert of(auth=["user", "none"]) == [{"bearer": []}, {}]


# --- it says what is really answered ------------------------------------------------------------------------


ROWS = [
    (400, "idempotency_key_missing"),
    (400, "idempotency_key_invalid"),
    (400, "invalid_json"),
    (401, "UNAUTHORIZED_NO_AUTH_HEADER"),
    (404, "NOT_FOUND"),
    (405, "METHOD_NOT_ALLOWED"),
    (409, "workflow_cancelled"),
    (409, "idempotency_conflict"),
    (413, "payload_too_large"),
    (422, "invalid_input"),
    (422, "idempotency_key_reused"),
    (429, "rate_limited"),
    (500, "workflow_error"),
    (500, "recovery_exhausted"),
    (503, "BOOT_ERROR"),
    (503, "shutting_down"),
    (503, "database_unavailable"),
    (503, "overloaded"),
]


@pytest.mark.parametrize(("status", "code"), ROWS)
def test_every_refusal_of_a_workflow_has_its_row(status: int, code: str) -> None:
    root = made(shop())
    answer = lookup(root, root["paths"]["/functions/v1/checkout"]["post"]["responses"][str(status)])
    example = answer["content"]["application/json"]["examples"][code]["value"]
    assert (example["status"], example["code"]) == (status, code)
    if status in (429, 503):
        assert "Retry-After" in answer["headers"]


def test_an_accepted_call_says_where_to_look() -> None:
    root = made(shop())
    responses = root["paths"]["/functions/v1/checkout"]["post"]["responses"]
    assert {"Workflow-Id", "Link", "Idempotency-Replayed"} <= set(responses["200"]["headers"])
    assert {"Workflow-Id", "Link", "Location", "Retry-After"} <= set(
        lookup(root, responses["202"])["headers"]
    )


def test_problems_are_as_the_schema_says() -> None:
    schema = made()["components"]["schemas"]["Problem"]
    body = httpx.Response(200, content=Problem("x", "y", status=404).answer().body).json()
    assert set(schema["required"]) == set(body)
    for example in (node["value"] for node in nodes(made()) if set(node) == {"value"}):
        assert set(schema["required"]) <= set(example) <= set(schema["properties"])


async def test_documents_of_management_are_as_their_schemas_say(
    project: Project, client: httpx.AsyncClient
) -> None:
    schemas = made()["components"]["schemas"]
    row = workflow_row("checkout:k", "ERROR", error='{"code":"workflow_error"}')
    project.rows.workflows = [row]
    project.rows.recorded["checkout:k"] = [step("1"), step("2", None, output="1.5")]
    shown = (await client.get("/workflows/v1/checkout:k")).json()
    properties = set(schemas["Workflow"]["properties"])
    assert set(shown) == properties - {"large"} == set(schemas["Workflow"]["required"])
    done, sleeping = (await client.get("/workflows/v1/checkout:k/steps")).json()["steps"]
    assert set(done) == set(schemas["Step"]["required"])
    project.rows.workflows = [workflow_row("checkout:k")]
    step_runs = RunningStep("checkout:k", 1, "3", "charge", 1, 1.5, 2.5)
    project.engine.runs_here["checkout:k"] = [step_runs]
    *_, running = (await client.get("/workflows/v1/checkout:k/steps")).json()["steps"]
    assert {*sleeping, *running} == set(schemas["Step"]["properties"]) - {"output_bytes"}
    assert {done["status"], sleeping["status"], running["status"]} <= set(
        schemas["Step"]["properties"]["status"]["enum"]
    )
    project.rows.published["checkout:k"] = [event(1)]
    (published,) = (await client.get("/workflows/v1/checkout:k/events")).json()["events"]
    assert set(published) == set(schemas["Event"]["properties"]) == set(schemas["Event"]["required"])
    ready = (await client.get("/readyz")).json()
    assert ready["status"] in schemas["Health"]["properties"]["status"]["enum"]


SAMPLES: dict[Any, Any] = {"integer": 1, "number": 1, "boolean": True, "object": {}}


def body_of(operation: dict[str, Any]) -> bytes | None:
    """The least body that an operation takes: what is required, and no more."""
    schema = operation.get("requestBody", {"content": {"application/json": {}}})["content"][
        "application/json"
    ]
    if "schema" not in schema:
        return None
    if not schema["schema"]:
        return b"1"
    properties = schema["schema"]["properties"]
    sample = {
        name: "2026-01-31T09:30:00Z"
        if properties[name].get("format") == "date-time"
        else SAMPLES.get(properties[name].get("type"), "x")
        for name in schema["schema"].get("required", ())
    }
    return json.dumps(sample).encode()


async def test_every_described_route_of_management_answers(
    project: Project, client: httpx.AsyncClient
) -> None:
    for path, item, _ in operations(made()):
        for method in METHODS & set(item):
            project.rows.workflows = [workflow_row("k")]
            path = (
                path.replace("{workflow_id}", "k")
                .replace("{topic}", "t")
                .replace("{name}", "q")
                .replace("{bulk_id}", "b")
            )
            response = await client.request(method, path, content=body_of(item[method]))
            sent = method == "post" and "messages" in path
            expected = 404 if "callbacks" in path else 202 if sent else 200
            assert response.status_code == expected, path
        for method in METHODS - set(item):
            assert (await client.request(method, path)).status_code == 405, path


# --- it is served -------------------------------------------------------------------------------------------


async def test_it_holds_no_secret(project: Project, client: httpx.AsyncClient) -> None:
    project.function_files = every_file()
    response = await client.get("/openapi.json")
    assert response.status_code == 200
    assert response.headers["content-type"] == "application/json"
    assert SECRET not in response.text
    document = response.json()
    assert (document["openapi"], document["info"]["version"]) == ("3.1.0", "1.2.3")
    assert "/functions/v1/checkout" in document["paths"]


async def test_it_is_made_once_for_a_version_of_the_functions(
    project: Project, client: httpx.AsyncClient, monkeypatch: pytest.MonkeyPatch
) -> None:
    described = Mock(side_effect=openapi_functions._describe)
    monkeypatch.setattr(openapi_functions, "_describe", described)
    project.function_files = [hooks()]
    first = await client.get("/openapi.json")
    assert (await client.get("/openapi.json")).content == first.content
    assert described.call_count == 1
    project.function_files = [kitchen()]
    assert "/functions/v1/cook" in (await client.get("/openapi.json")).json()["paths"]
    project.function_files = [File("cook", error="line 1")]
    assert "/functions/v1/cook" not in (await client.get("/openapi.json")).json()["paths"]
    assert described.call_count == 2


HIDDEN = SecretStr("hidden")


def test_secrets_are_no_defaults() -> None:
    """Neither of a parameter that is secret, nor one that came from the environment."""

    class Login(BaseModel):
        default: str = "a property may be called so"
        password: SecretStr = "plain-in-model"  # type: ignore[assignment]
        more: list[SecretStr] = [SecretStr("in-list")]

    @workflow
    async def login(
        key: SecretStr = HIDDEN,
        raw: SecretStr = "plain-as-parameter",  # type: ignore[assignment]
        maybe: SecretStr | None = "plain-optional",  # type: ignore[assignment]
        token: str = "sb_secret_from_the_environment",
        shown: int = 7,
    ) -> None: ...

    @workflow
    async def model(body: Login) -> None: ...

    served = {"a": login.definition, "a/model": model.definition}
    told = made(File("a", served=served))
    text = json.dumps(told)
    for secret in ("hidden", "plain-", "in-list", "***"):
        assert secret not in text
    assert '"default": 7' in text
    assert "a property may be called so" in text


async def test_what_is_served_is_redacted() -> None:
    @workflow
    async def login(token: str = "sb_secret_from_the_environment", shown: str = "as it is") -> None: ...

    project = Project()
    project.function_files = [File("a", served={"a": login.definition})]
    async with project.client() as client:
        answer = await client.get("/openapi.json")
    assert "sb_secret_from" not in answer.text
    assert "as it is" in answer.text
    assert answer.json()["openapi"] == "3.1.0"
