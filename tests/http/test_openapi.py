"""What /openapi.json says is what callers get: every operation is called in many ways and keeps its word."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import httpx
import pytest

from tests.http.harness import Served, fresh_key

VARIATIONS: dict[str, dict[str, Any]] = {
    "fitting": {},
    "with a key": {"headers": {"idempotency-key": "KEY"}},
    "not waiting": {"headers": {"idempotency-key": "KEY", "prefer": "respond-async"}},
    "malformed key": {"headers": {"idempotency-key": "a b"}},
    "no JSON": {"content": b"{oh"},
    "misfit": {"json": [[]]},
    "too large": {"content": b"x" * (2 * 1024 * 1024 + 1)},
    "as events": {"headers": {"accept": "text/event-stream", "idempotency-key": "KEY"}},
}


QUICK = ("fitting", "misfit")
"""Those that `make test` tries; the others are among the slow tests."""


@pytest.fixture(scope="module")
def description(host: Served) -> dict[str, Any]:
    host.open("x")  # what a sample of a key is called
    return host.admin.get("/openapi.json").json()


def operations(description: dict[str, Any]) -> Iterator[tuple[str, str, dict[str, Any]]]:
    for path, item in description["paths"].items():
        for method, operation in item.items():
            if method in ("get", "post", "put", "patch", "delete"):
                yield path, method, operation


def resolved(description: dict[str, Any], node: Any) -> Any:
    while isinstance(node, dict) and "$ref" in node:
        place: Any = description
        for part in node["$ref"].removeprefix("#/").split("/"):
            place = place[part.replace("~1", "/").replace("~0", "~")]
        node = place
    return node


def sample(description: dict[str, Any], schema: Any) -> Any:
    """A value that fits a schema, for the schemas of the tests' functions."""
    schema = resolved(description, schema)
    if "enum" in schema:
        return schema["enum"][0]
    match schema.get("type"):
        case "object":
            names = schema.get("required", ())
            return {name: sample(description, schema["properties"][name]) for name in names}
        case "array":
            return []
        case "integer" | "number":
            return max(1, schema.get("minimum", 1))
        case "boolean":
            return False
        case _:
            return "x"


def misfit(description: dict[str, Any], schema: Any, value: Any, where: str = "") -> str | None:
    """In what `value` doesn't fit a schema; None if it does. Knows the keywords that are used here."""
    schema = resolved(description, schema)
    if schema is True or schema == {}:
        return None
    for each in schema.get("allOf", ()):
        if found := misfit(description, each, value, where):
            return found
    choices = schema.get("anyOf") or schema.get("oneOf")
    if choices and all(misfit(description, each, value, where) for each in choices):
        return f"{where}: none of the choices"
    if "const" in schema and value != schema["const"]:
        return f"{where}: not {schema['const']!r}"
    if "enum" in schema and value not in schema["enum"]:
        return f"{where}: not in {schema['enum']!r}"
    kinds = schema.get("type", [])
    kinds = [kinds] if isinstance(kinds, str) else kinds
    if kinds and not any(_is(value, kind) for kind in kinds):
        return f"{where}: {value!r} is no {kinds}"
    if isinstance(value, dict):
        for name in schema.get("required", ()):
            if name not in value:
                return f"{where}: {name} is missing"
        for name, each in schema.get("properties", {}).items():
            if name in value and (found := misfit(description, each, value[name], f"{where}.{name}")):
                return found
    if isinstance(value, list) and "items" in schema:
        for number, each in enumerate(value):
            if found := misfit(description, schema["items"], each, f"{where}[{number}]"):
                return found
    return None


def _is(value: Any, kind: str) -> bool:
    known: dict[str, Any] = {
        "object": dict,
        "array": list,
        "string": str,
        "boolean": bool,
        "null": type(None),
    }
    if kind in known:
        return isinstance(value, known[kind])
    return isinstance(value, int if kind == "integer" else int | float) and not isinstance(value, bool)


def broken_word(description: dict[str, Any], operation: dict[str, Any], answer: httpx.Response) -> str | None:
    """In what an answer isn't as documented; None if it is."""
    responses = operation["responses"]
    code = str(answer.status_code)
    response = resolved(description, responses.get(code) or responses.get("default"))
    if response is None:
        return f"{code} is not documented"
    for name, header in response.get("headers", {}).items():
        if resolved(description, header).get("required") and name.lower() not in answer.headers:
            return f"{code} without {name}"
    content = response.get("content", {})
    if not answer.content or not content:
        return None
    kind = answer.headers.get("content-type", "").partition(";")[0]
    media = content.get(kind) or content.get("*/*")
    if media is None:
        return f"{code} is {kind}, documented are {', '.join(content)}"
    if kind == "application/json" and "schema" in media:
        found = misfit(description, media["schema"], answer.json())
        return found and f"{code} {found}"
    return None


@pytest.mark.parametrize(
    "variation",
    [pytest.param(each, marks=() if each in QUICK else pytest.mark.slow) for each in VARIATIONS],
)
def test_functions_keep_their_word(host: Served, description: dict[str, Any], variation: str) -> None:
    broken = []
    called = 0
    for path, method, operation in operations(description):
        if not path.startswith("/functions/v1/"):
            continue
        options = {**VARIATIONS[variation]}
        options["headers"] = {
            name: fresh_key() if value == "KEY" else value
            for name, value in options.get("headers", {}).items()
        }
        if "content" not in options and "json" not in options:
            body = resolved(description, operation.get("requestBody", {}))
            if media := body.get("content", {}).get("application/json"):
                options["json"] = sample(description, media["schema"])
        answer = host.client.request(method, path.replace("{path}", "sub/path"), **options)
        called += 1
        if found := broken_word(description, operation, answer):
            broken.append(f"{method} {path}: {found}")
    assert called > 50
    assert not broken, "\n".join(broken)


def test_management_keeps_its_word(host: Served, description: dict[str, Any]) -> None:
    workflow_id = host.call("hello", {"name": "Ada"}, key=fresh_key()).headers["workflow-id"]
    host.query("insert into outlast.queues (name, base) values ('described', '{}') returning name")
    broken = []
    for path, method, operation in operations(description):
        if path.startswith("/functions/v1/"):
            continue
        for found_id in (workflow_id, "nowhere:1"):
            url = path.replace("{workflow_id}", found_id).replace("{id}", found_id).replace("{topic}", "t")
            url = url.replace("{name}", "described" if found_id == workflow_id else "nowhere")
            for name in ("{token}", "{bulk_id}", "{function}", "{instance_id}"):
                url = url.replace(name, "nowhere")
            content = b"1" if "requestBody" in operation else None
            assert "{" not in url
            for client in (host.admin, host.client):
                for query in ("", "?no-such=1", "?limit=1"):
                    answer = client.request(method, url + query, content=content)
                    if found := broken_word(description, operation, answer):
                        broken.append(f"{method} {url}{query}: {found}")
    assert not broken, "\n".join(broken)


def test_all_that_is_served_is_documented(host: Served, description: dict[str, Any]) -> None:
    assert description["openapi"].startswith("3.1")
    paths = set(description["paths"])
    assert {"/functions/v1/hello", "/functions/v1/answers/respond", "/functions/v1/plain"} <= paths
    assert not any("broken" in path for path in paths)
    for path, method, operation in operations(description):
        for code in ("401", "404", "405"):
            if path.startswith("/functions/v1/") and "default" not in operation["responses"]:
                assert code in operation["responses"], f"{method} {path}: {code}"
