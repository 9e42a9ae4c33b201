"""What a request must be before anything in it is believed, and what of it is kept."""

from __future__ import annotations

import gzip
import json
from collections.abc import Iterator

import httpx
import pytest

from outlast import UsageError, workflow
from tests.hosts import SECRET
from tests.http.conftest import OPEN, Start
from tests.http.harness import Served, check_problem, fresh_key
from tests.http.test_auth import PUBLISHABLE, bearer, refused, started
from tests.http.test_events import EVENTS, events_of
from tests.http.test_published import watching
from tests.tokens import Project, elliptic, now_s, project


@pytest.fixture(scope="module")
def signer() -> Iterator[Project]:
    with project(elliptic()) as made:
        yield made


@pytest.fixture(scope="module")
def guarded(start_host: Start, signer: Project) -> Served:
    return started(start_host, signer)


HEADS = {
    "no Host": b"POST /functions/v1/hello HTTP/1.1\r\n",
    "two Hosts": b"POST /functions/v1/hello HTTP/1.1\r\nhost: x\r\nHost: x\r\n",
    "two Hosts in 1.0": b"POST /functions/v1/hello HTTP/1.0\r\nhost: localhost\r\nhost: y\r\n",
    "a list of Hosts": b"POST /functions/v1/hello HTTP/1.1\r\nhost: x, y\r\n",
    "a Host with a user": b"POST /functions/v1/hello HTTP/1.1\r\nhost: a@localhost\r\n",
    "a Host with a path": b"POST /functions/v1/hello HTTP/1.1\r\nhost: localhost/x\r\n",
    "two Authorizations": b"GET /workflows/v1 HTTP/1.1\r\nhost: localhost\r\n"
    b"authorization: Bearer a\r\nAuthorization: Bearer b\r\n",
    "two keys": b"POST /functions/v1/hello HTTP/1.1\r\nhost: localhost\r\napikey: a\r\nApikey: a\r\n",
    "two keys of a preflight": b"OPTIONS / HTTP/1.1\r\nhost: localhost\r\napikey: a\r\napikey: b\r\n",
}


@pytest.mark.parametrize("head", HEADS.values(), ids=HEADS)
def test_heads_that_can_be_read_in_two_ways_are_refused(host: Served, head: bytes) -> None:
    before = host.rows()
    with host.connection() as wire:
        wire.send(head + b"content-length: 0\r\n\r\n")
        answer = wire.answer()
        assert (answer.status, json.loads(answer.body)["code"]) == (400, "invalid_http")
        assert wire.rest() == b""
    assert host.rows() == before


def test_an_old_request_has_no_transfer_encoding(host: Served) -> None:
    before = host.rows()
    with host.connection() as wire:
        wire.send(
            b"POST /functions/v1/hello HTTP/1.0\r\nhost: localhost\r\nconnection: keep-alive\r\n"
            b"transfer-encoding: chunked\r\n\r\n0\r\n\r\n"
            b"POST /functions/v1/hello HTTP/1.1\r\nhost: localhost\r\ncontent-length: 0\r\n\r\n"
        )
        assert wire.answer().status == 400
        assert wire.rest() == b""
    assert host.rows() == before


def test_an_old_request_needs_no_host(host: Served) -> None:
    with host.connection() as wire:
        wire.send(b"GET /healthz HTTP/1.0\r\n\r\n")
        assert wire.answer().status == 200


OWN = ["localhost", "LOCALHOST:8000", "localhost.", "app.localhost:1", "127.0.0.1", "127.9.9.9:80",
       "[::1]", "[::1]:8000", "[::ffff:127.0.0.1]", "[0:0:0:0:0:0:0:1]"]  # fmt: skip
FOREIGN = ["evil.example", "localhost.evil.example", "notlocalhost", "127.0.0.1.evil.example", "0.0.0.0",
           "192.168.1.5", "[::2]", "[::ffff:10.0.0.1]", "localhost..", "10.0.0.1:8000"]  # fmt: skip


@pytest.mark.parametrize("name", OWN)
def test_a_host_that_asks_nobody_answers_its_own_machine(host: Served, name: str) -> None:
    assert host.call("hello", {}, headers={"host": name}).status_code == 200
    origin = {"origin": f"http://{name}", "sec-fetch-site": "cross-site"}
    assert host.call("hello", {}, headers=origin).status_code == 200


@pytest.mark.parametrize("name", FOREIGN)
def test_a_foreign_page_cannot_call_a_host_that_asks_nobody(host: Served, name: str) -> None:
    """Neither by DNS rebinding nor by a plain form or fetch, whose answer it needn't read."""
    check_problem(host.refused("hello", {}, headers={"host": name}), 403, "foreign_origin")
    check_problem(host.refused("hello", {}, headers={"origin": f"https://{name}"}), 403, "foreign_origin")


@pytest.mark.parametrize("origin", ["null", "file://", "chrome-extension://abc", "http://[", "", "localhost"])
def test_pages_from_nowhere_cannot_either(host: Served, origin: str) -> None:
    simple = {"origin": origin, "content-type": "text/plain"}
    check_problem(host.refused("hello", content=b"{}", headers=simple), 403, "foreign_origin")


def test_a_link_of_a_foreign_page_starts_nothing(host: Served) -> None:
    headers = {"sec-fetch-site": "cross-site"}
    for method in ("GET", "POST"):
        check_problem(host.refused("hello", method=method, headers=headers), 403, "foreign_origin")
    for site in ("none", "same-origin", "same-site"):
        assert host.call("hello", {}, headers={"sec-fetch-site": site}).status_code == 200


def test_everything_but_the_probes_asks_where_a_call_comes_from(host: Served) -> None:
    foreign = {"host": "evil.example"}
    for path in ("/", "/openapi.json", "/workflows/v1"):
        check_problem(host.admin.get(path, headers=foreign), 403, "foreign_origin")
    check_problem(host.client.options("/functions/v1/hello", headers=foreign), 403, "foreign_origin")
    for path in ("/healthz", "/readyz"):
        assert host.client.get(path, headers=foreign).status_code == 200


def test_settings_name_further_hosts_and_origins(start_host: Start) -> None:
    host = start_host(
        OPEN,
        allowed_hosts="outlast.internal, 192.168.1.5",
        cors_origins="https://example.com",
        url="https://dev.example:8443",
    )
    for known in ({"host": "Outlast.Internal:8000"}, {"host": "192.168.1.5"}, {"host": "dev.example"},
                  {"origin": "https://example.com"}, {"origin": "http://outlast.internal"}):  # fmt: skip
        answer = httpx.post(f"{host.url}/functions/v1/hello", json={}, headers=known)
        assert answer.status_code == 200, known
    for foreign in ({"host": "example.org"}, {"origin": "http://example.com"}):
        answer = httpx.post(f"{host.url}/functions/v1/hello", json={}, headers=foreign)
        assert answer.status_code == 403, foreign


def test_all_hosts_can_be_let_in(start_host: Start) -> None:
    host = start_host(OPEN, allowed_hosts="*")
    headers = {"host": "any.example", "origin": "https://other.example"}
    assert host.call("hello", {}, headers=headers).status_code == 200


def test_a_host_that_asks_who_calls_may_have_any_name(guarded: Served) -> None:
    headers = {"host": "any.example", "origin": "https://other.example", "apikey": SECRET}
    assert guarded.call("hello", {}, headers=headers).status_code == 200


@pytest.mark.parametrize("written", ["Basic YTpi", "Bearer", "nonsense"])
def test_an_authorization_that_is_none_is_refused_beside_a_good_key(guarded: Served, written: str) -> None:
    headers = {"apikey": SECRET, "authorization": written}
    refused(guarded, headers, "UNAUTHORIZED_INVALID_JWT_FORMAT", "hello")
    check_problem(
        guarded.client.get("/workflows/v1", headers=headers), 401, "UNAUTHORIZED_INVALID_JWT_FORMAT"
    )


@pytest.mark.slow
def test_a_stream_ends_with_its_token(guarded: Served, signer: Project) -> None:
    """By the clock's leeway: the token is good for some seconds yet, and the workflow goes on."""
    key = fresh_key()
    headers = {**bearer(signer.token("ada", exp=now_s() - 3)), "accept": EVENTS, "idempotency-key": key}
    with guarded.client.stream("POST", "/functions/v1/held", json={"key": key}, headers=headers) as answer:
        assert answer.status_code == 200, answer.read()
        last = list(events_of(answer))[-1]
    assert (last.kind, last.data["status"], last.data["code"]) == ("error", 401, "token_expired")
    guarded.open(key)
    guarded.until_status(f"held:ada:{key}", "SUCCESS")


@pytest.mark.slow
def test_a_stream_of_published_events_ends_with_its_token(guarded: Served, signer: Project) -> None:
    key = fresh_key()
    guarded.call("held", {"key": key}, key=key, prefer="respond-async", headers=bearer(signer.token("ada")))
    short = bearer(signer.token("ada", exp=now_s() - 3))
    with watching(guarded, f"held:ada:{key}", client=guarded.client, **short) as events:
        last = list(events)[-1]
    assert (last.kind, last.data["code"]) == ("error", "token_expired")
    guarded.open(key)


def test_a_body_that_is_packed_is_told_so(host: Served) -> None:
    for encoding in ("gzip", "GZIP, identity", "br", "x"):
        answer = host.refused("hello", content=gzip.compress(b"{}"), headers={"content-encoding": encoding})
        check_problem(answer, 415, "unsupported_encoding")
        assert answer.headers["accept-encoding"] == "identity"
    assert host.call("hello", {}, headers={"content-encoding": "identity"}).status_code == 200


def test_a_request_keeps_its_region_and_the_fingerprint_leaves_it_out(host: Served) -> None:
    key = fresh_key()
    first = host.call("inputs/request?forceFunctionRegion=eu&a=1", key=key)
    assert first.json()["query"] == {"forceFunctionRegion": "eu", "a": "1"}
    again = host.call("inputs/request?a=1&forceFunctionRegion=us", key=key)
    assert (again.status_code, again.json()) == (200, first.json())
    check_problem(host.call("inputs/request?a=2", key=key), 422, "idempotency_key_reused")


@pytest.mark.parametrize(
    ("wait", "status"),
    [
        *[(each, 200) for each in ("1e0", "1E-1", "0.5", "-0")],
        *[(each, 400) for each in ("1e9", "-1", "1e", "1e999")],
    ],
)
def test_how_seconds_are_written(host: Served, wait: str, status: int) -> None:
    key = fresh_key()
    host.call("hello", {}, key=key)
    assert host.admin.get(f"/workflows/v1/hello:{key}?wait={wait}").status_code == status


def test_a_message_with_nul_is_refused_in_our_own_words(host: Served) -> None:
    key = fresh_key()
    workflow_id = host.begin("held", key)
    send = f"/workflows/v1/{workflow_id}/messages"
    for text in (r'"a\u0000b"', r'{"a\u0000": 1}', r'"\\\u0000"'):
        answer = host.admin.post(send, content=text)
        check_problem(answer, 400, "nul_character")
        assert "Postgres" not in answer.text
    assert host.admin.post(send, content=r'"\\u0000"').status_code == 202
    host.open(key)


def test_little_of_a_request_is_stored(host: Served) -> None:
    """A small call of a stranger leaves a small row, whatever its header holds."""
    headers = {f"x-{number}": "x" * 1000 for number in range(60)} | {"user-agent": "y" * 20_000}
    names = ("x-forwarded-authorization", "x-auth-token", "cookie", "x-session", "x-amz-security-token")
    credentials = dict.fromkeys(names, "secretive")
    answer = host.call(
        "inputs/request", key=fresh_key(), headers={**headers, **credentials, "prefer": "wait=9"}
    )
    kept = answer.json()["headers"]
    assert kept["prefer"] == ["wait=9"]
    assert not {*headers, *credentials} & set(kept)
    ((request,),) = host.query(
        "select request::text from outlast.workflow_status where workflow_id = %s",
        answer.headers["workflow-id"],
    )
    assert len(request) < 2_000
    assert "secretive" not in request


def test_a_workflow_may_ask_for_more_headers(host: Served) -> None:
    headers = {"x-github-event": "push", "x-mine": "1", "x-other": "2"}
    assert {"x-github-event", "x-mine"} <= dict(host.call("inputs/asking", headers=headers).json()).keys()
    asked = dict(host.call("inputs/asking", headers={**headers, "x-mine": "z" * 9_000}).json())
    assert "x-mine" not in asked
    assert "x-other" not in asked
    assert asked["x-github-event"] == "push"


@pytest.mark.parametrize(
    "name", ["Cookie", "x-forwarded-authorization", "X-Api-Key", "x-gitlab-token", "a b", ""]
)
def test_no_workflow_may_ask_for_credentials(name: str) -> None:
    with pytest.raises(UsageError, match="workflow\\(headers\\)"):
        workflow(headers=(name,))


def functions_of(answer: httpx.Response) -> set[str]:
    assert answer.status_code == 200, answer.text
    return {path.removeprefix("/functions/v1/") for path in answer.json()["paths"] if "functions" in path}


def test_whoever_asks_sees_what_they_may_call(guarded: Served, signer: Project) -> None:
    """Each path that is shown lets its reader in, and each that isn't refuses them."""
    asked = [{}, {"apikey": PUBLISHABLE}, bearer(signer.token("ada")), {"apikey": SECRET}]
    ways = ("guarded", *(f"guarded/{name}" for name in ("user", "publishable", "secret", "crons", "open")))
    for headers in asked:
        answer = guarded.client.get("/openapi.json", headers=headers)
        shown = functions_of(answer)
        for way in ways:
            status = guarded.call(way, {}, headers=headers).status_code
            if status != 404:
                assert (way in shown) or status == 401, (way, headers)
                assert (status == 200) <= (way in shown), (way, headers)
                if SECRET not in headers.values():
                    assert (way in shown) <= (status == 200), (way, headers)
    assert "guarded/secret" in functions_of(guarded.client.get("/openapi.json", headers={"apikey": SECRET}))


def test_management_is_shown_to_those_who_may(guarded: Served, signer: Project) -> None:
    def paths(headers: dict[str, str]) -> set[str]:
        document = guarded.client.get("/openapi.json", headers=headers).json()
        return {path for path in document["paths"] if "functions" not in path}

    assert paths({}) == {"/healthz", "/readyz", "/callbacks/v1/{token}"} == paths({"apikey": PUBLISHABLE})
    of_user = paths(bearer(signer.token("ada")))
    assert "/workflows/v1" in of_user
    assert not any("messages" in path for path in of_user)
    assert any("messages" in path for path in paths({"apikey": SECRET}))
    answer = guarded.client.get("/openapi.json", headers=bearer("a.b.c"))
    check_problem(answer, 401, "UNAUTHORIZED_INVALID_JWT_FORMAT")


def test_the_document_may_be_public_but_for_secret_functions(start_host: Start, signer: Project) -> None:
    host = started(start_host, signer, openapi="public")
    answer = host.client.get("/openapi.json")
    shown = functions_of(answer)
    assert {"hello", "guarded/user", "guarded/publishable"} <= shown
    assert not {"guarded/secret", "guarded/crons"} & shown
    assert "guarded.secret" not in answer.text


def test_the_document_may_be_for_known_callers_or_for_nobody(start_host: Start, signer: Project) -> None:
    host = started(start_host, signer, openapi="key")
    check_problem(host.client.get("/openapi.json"), 401, "UNAUTHORIZED_NO_AUTH_HEADER")
    assert "hello" in functions_of(host.client.get("/openapi.json", headers={"apikey": PUBLISHABLE}))
    closed = started(start_host, signer, openapi="off")
    assert closed.admin.get("/openapi.json").status_code == 404
    assert "openapi" not in closed.client.get("/").json()["links"]


def test_bytes_that_happen_to_be_text_are_stored_as_what_is_shorter(host: Served) -> None:
    key = fresh_key()
    first = host.call("answers/respond", {"kind": "nuls"}, key=key)
    assert (first.status_code, first.content) == (200, b"\0" * (3 << 20))
    assert host.call("answers/respond", {"kind": "nuls"}, key=key).content == first.content


def test_a_handler_that_looks_for_a_workflow_that_is_not_there(host: Served) -> None:
    answer = host.call("starter?missing=1")
    check_problem(answer, 404, "workflow_not_found")
