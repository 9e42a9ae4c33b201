"""Users and their own workflows over /workflows/v1: what is another's is not there."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import psycopg
import pytest

from tests.hosts import SECRET, until
from tests.http.conftest import Start
from tests.http.harness import Served, check_problem, fresh_key
from tests.http.test_auth import ANON_KEY, PUBLISHABLE, a_user, bearer, started
from tests.tokens import Project, elliptic, project


@pytest.fixture(scope="module")
def signer() -> Iterator[Project]:
    with project(elliptic()) as made:
        yield made


@pytest.fixture(scope="module")
def guarded(start_host: Start, signer: Project) -> Served:
    return started(start_host, signer)


class User:
    """Somebody signed in."""

    def __init__(self, host: Served, signer: Project) -> None:
        self.id = a_user()
        self.headers = {**bearer(signer.token(self.id)), "apikey": PUBLISHABLE}
        self._host = host

    def call(self, function: str = "guarded", body: Any = None, **options: Any) -> str:
        """Call a function; the workflow's id."""
        answer = self._host.call(function, body or {}, headers=self.headers, **options)
        return answer.headers["workflow-id"]

    def ask(self, path: str, method: str = "GET", json: Any = None) -> Any:
        return self._host.client.request(method, f"/workflows/v1{path}", headers=self.headers, json=json)


@pytest.fixture
def ada(guarded: Served, signer: Project) -> User:
    return User(guarded, signer)


@pytest.fixture
def eve(guarded: Served, signer: Project) -> User:
    return User(guarded, signer)


def test_owners_see_their_own(ada: User) -> None:
    workflow = ada.call(key=fresh_key())
    shown = ada.ask(f"/{workflow}").json()
    assert (shown["workflow_id"], shown["status"], shown["subject"]) == (workflow, "SUCCESS", ada.id)
    assert shown["owner"] is None
    assert [each["name"] for each in ada.ask(f"/{workflow}/steps").json()["steps"]] == ["tell"]
    assert [each["workflow_id"] for each in ada.ask("").json()["workflows"]] == [workflow]


def test_others_find_nothing(guarded: Served, ada: User, eve: User) -> None:
    workflow = ada.call()
    nowhere = eve.ask("/nowhere").json()
    for path, method in [
        ("", "GET"),
        ("/steps", "GET"),
        ("/events", "GET"),
        ("/cancel", "POST"),
        ("?wait=1", "GET"),
    ]:
        answer = eve.ask(f"/{workflow}{path}", method)
        document = check_problem(answer, 404, "workflow_not_found", more={"workflow_id"})
        assert {**document, "workflow_id": None} == {**nowhere, "workflow_id": None}
    assert eve.ask("").json() == {"workflows": [], "next": None}
    assert guarded.admin.get(f"/workflows/v1/{workflow}").status_code == 200


def test_owners_may_cancel_and_others_may_not(guarded: Served, ada: User, eve: User) -> None:
    key = fresh_key()
    workflow = ada.call("held", {"key": key}, prefer="respond-async")
    guarded.until_seen(key)
    assert eve.ask(f"/{workflow}/cancel", "POST").status_code == 404
    assert guarded.status(workflow) == "PENDING"
    assert ada.ask(f"/{workflow}/cancel", "POST").json()["status"] == "CANCELLED"
    assert guarded.status(workflow) == "CANCELLED"


def test_a_user_does_not_kill(guarded: Served, ada: User) -> None:
    key = fresh_key()
    workflow = ada.call("held", {"key": key}, prefer="respond-async")
    guarded.until_seen(key)
    assert ada.ask(f"/{workflow}/cancel", "POST", json={"mode": "kill"}).status_code == 401
    assert guarded.status(workflow) == "PENDING"
    assert ada.ask(f"/{workflow}/cancel", "POST", json={"mode": "undo"}).json()["status"] == "CANCELLED"


def test_pages_hold_nothing_of_others(ada: User, eve: User) -> None:
    mine: list[str] = []
    for _ in range(3):
        mine.insert(0, ada.call())
        eve.call()
    page = ada.ask("?limit=2").json()
    rest = ada.ask(page["next"].removeprefix("/workflows/v1")).json()
    assert [each["workflow_id"] for each in page["workflows"] + rest["workflows"]] == mine
    assert rest["next"] is None


def test_a_filter_opens_nothing(ada: User, eve: User) -> None:
    parent = ada.call("guarded/parent")
    for query in (f"parent={parent}", "function=guarded", "status=SUCCESS", "since=2020-01-01"):
        assert eve.ask(f"?{query}").json()["workflows"] == []
        assert ada.ask(f"?{query}").json()["workflows"] != []


def test_failures_are_told_without_what_is_in_them(guarded: Served, ada: User) -> None:
    workflow = ada.call("guarded/failing")
    shown = ada.ask(f"/{workflow}")
    assert shown.json()["error"].keys() == {"code", "message"}
    assert "hunter2" not in shown.text
    assert "hunter2" in guarded.admin.get(f"/workflows/v1/{workflow}").text
    workflow = ada.call("guarded/failing_step")
    steps = ada.ask(f"/{workflow}/steps")
    assert [each["error"]["code"] for each in steps.json()["steps"]] == ["step_failed"]
    assert "hunter2" not in steps.text
    assert "hunter2" in guarded.admin.get(f"/workflows/v1/{workflow}/steps").text


@pytest.mark.parametrize(
    "headers",
    [{}, {"apikey": PUBLISHABLE}, bearer(PUBLISHABLE), bearer(ANON_KEY), {"apikey": ANON_KEY}],
    ids=str,
)
def test_anonymous_callers_have_no_workflows_to_see(guarded: Served, headers: dict[str, str]) -> None:
    for path in ("", "/guarded:anon:1"):
        answer = guarded.client.get(f"/workflows/v1{path}", headers=headers)
        check_problem(answer, 401, "UNAUTHORIZED_NO_AUTH_HEADER")


def test_a_users_workflows_have_no_power_over_a_secret_keys(guarded: Served, ada: User) -> None:
    """Ids without a subject are those of secret keys."""
    key = fresh_key()
    workflow = guarded.call("guarded", {}, key=key, headers={"apikey": SECRET}).headers["workflow-id"]
    assert workflow == f"guarded:{key}"
    assert ada.ask(f"/{workflow}").status_code == 404
    assert ada.call(key=key) == f"guarded:{ada.id}:{key}"


def test_users_send_no_messages(guarded: Served, ada: User) -> None:
    """Not even to their own: a function that takes messages from users is a function that they call."""
    key = fresh_key()
    workflow = ada.call("held", {"key": key}, prefer="respond-async")
    for path in (f"/{workflow}/messages", f"/{workflow}/messages/topic"):
        check_problem(ada.ask(path, "POST"), 401, "INVALID_CREDENTIALS")
    assert ada.ask(f"/{workflow}/cancel", "POST").status_code == 200


def test_users_see_that_steps_ran_and_not_what_they_returned(guarded: Served, ada: User) -> None:
    workflow = ada.call("seen/hidden")
    child = ada.ask(f"/{workflow}").json()["output"]
    answer = ada.ask(f"/{workflow}/steps")
    assert [each["status"] for each in answer.json()["steps"]] == ["SUCCESS"] * len(answer.json()["steps"])
    assert {each["name"] for each in answer.json()["steps"]} >= {"read_all_rows", "publish progress"}
    assert all(each["completed_at"] for each in answer.json()["steps"])
    published = [each["output"] for each in answer.json()["steps"] if each["name"] == "publish progress"]
    assert published == [1]
    of_child = ada.ask(f"/{child}")
    assert (of_child.json()["status"], of_child.json()["input"], of_child.json()["output"]) == (
        "SUCCESS",
        None,
        None,
    )
    waited = ada.ask(f"/{child}?wait=5")
    pages = [ada.ask(path) for path in ("", f"?parent={workflow}", f"/{child}/steps", f"/{child}/events")]
    for each in (answer, of_child, waited, *pages):
        assert "confidential" not in each.text
    for path in (f"/{workflow}/steps", f"/{child}"):
        assert "confidential-rows" in guarded.admin.get(f"/workflows/v1{path}").text


def test_the_stream_of_a_call_shows_no_more(guarded: Served, ada: User) -> None:
    for function in ("seen/hidden", "seen/shown", "seen/partly"):
        headers = {**ada.headers, "accept": "text/event-stream"}
        answer = guarded.client.post(f"/functions/v1/{function}", json={}, headers=headers)
        assert "read_all_rows" in answer.text
        assert "confidential" not in answer.text


def test_a_function_may_show_what_its_steps_returned(ada: User, eve: User) -> None:
    workflow = ada.call("seen/shown")
    child = ada.ask(f"/{workflow}").json()["output"]
    outputs = {each["name"]: each["output"] for each in ada.ask(f"/{workflow}/steps").json()["steps"]}
    assert outputs["read_all_rows"] == "confidential-rows"
    of_child = ada.ask(f"/{child}").json()
    assert (of_child["input"], of_child["output"]) == ({"rows": "confidential-rows"}, "confidential-rows!")
    for path in (f"/{workflow}/steps", f"/{child}"):
        assert eve.ask(path).status_code == 404


def test_whoever_is_to_be_asked_has_the_link_and_who_asks_has_not(start_host: Start, signer: Project) -> None:
    """Whoever has it may answer."""
    host = started(start_host, signer, public_url="https://hooks.example")
    ada = User(host, signer)
    workflow = ada.call("seen/asked")
    (shown,) = ada.ask(f"/{workflow}/steps").json()["steps"]
    assert (shown["name"], shown["output"]) == ("callback verdict", None)
    assert "/callbacks/v1/" in host.admin.get(f"/workflows/v1/{workflow}/steps").text


def test_a_step_may_show_what_it_returned(guarded: Served, ada: User, eve: User) -> None:
    """Of two steps of one name nobody knows which it was: they show it if both do."""
    workflow = ada.call("seen/partly")
    answer = ada.ask(f"/{workflow}/steps")
    outputs = {each["name"]: each["output"] for each in answer.json()["steps"]}
    assert (outputs["quote"], outputs["book"]) == ("a-quote", "a-booking")
    assert (outputs["lookup"], outputs["count"], outputs["read_all_rows"]) == (None, None, None)
    child = ada.ask(f"/{workflow}").json()["output"]
    of_child = ada.ask(f"/{child}")
    assert (of_child.json()["input"], of_child.json()["output"]) == (None, None)
    for each in (answer, of_child, ada.ask(f"/{child}/steps")):
        assert "confidential" not in each.text
    assert "confidential-count" in guarded.admin.get(f"/workflows/v1/{workflow}/steps").text
    assert eve.ask(f"/{workflow}/steps").status_code == 404


def test_whose_it_is_is_known_before_anything_large_is_read(start_host: Start, signer: Project) -> None:
    """Else the time tells whether another's is there. What can't be read at all is 404 to others, as ever."""
    host = started(start_host, signer)
    ada, eve = User(host, signer), User(host, signer)
    workflow = ada.call("seen/large", {"text": "large"})
    columns = [("workflow_status", each) for each in ("input", "output", "error", "response", "request")]
    renamed = [*columns, ("operation_outputs", "output")]
    with psycopg.connect(host.database, autocommit=True) as connection:
        for table, column in renamed:
            connection.execute(f"alter table outlast.{table} rename {column} to away_{column}".encode())
        for path, method in [("", "GET"), ("/steps", "GET"), ("/events", "GET"), ("?wait=1", "GET")]:
            assert eve.ask(f"/{workflow}{path}", method).status_code == 404
            assert ada.ask(f"/{workflow}{path}", method).status_code in (500, 503)
        assert eve.ask(f"/{workflow}/cancel", "POST").status_code == 404
        assert ada.ask(f"/{workflow}/cancel", "POST").status_code in (500, 503)


def test_functions_dont_find_what_signs_tokens(guarded: Served) -> None:
    names = guarded.call("seen/environment", {}).json()
    assert "SUPABASE_URL" in names or "SUPABASE_DB_URL" in names
    assert "SUPABASE_JWT_SECRET" not in names


def test_refusals_and_management_are_in_the_log(start_host: Start, signer: Project) -> None:
    host = started(start_host, signer)
    ada, eve = User(host, signer), User(host, signer)
    key = fresh_key()
    running = ada.call("held", {"key": key}, prefer="respond-async")
    assert eve.ask(f"/{running}/cancel", "POST").status_code == 404
    assert host.admin.post(f"/workflows/v1/{running}/cancel").status_code == 200
    said = until(lambda: said if "managed POST" in (said := host.process.said()) else None)
    lines = [line for line in said.splitlines() if f"{running}/cancel" in line]
    (refused,) = [line for line in lines if "refused POST" in line]
    assert eve.id in refused
    assert "127.0.0.1: workflow_not_found" in refused
    (managed,) = [line for line in lines if "managed POST" in line]
    assert "by 'secret key default' from 127.0.0.1: 200" in managed


def test_why_a_workflow_waits_names_no_other_to_its_owner(guarded: Served, ada: User) -> None:
    queue, mine, others = fresh_key(), fresh_key(), fresh_key()
    guarded.query(
        "insert into outlast.queues (name, base) values (%s, %s) returning 1", queue, '{"concurrency": 1}'
    )
    for workflow_id, owner, subject in ((others, "an instance", "eve"), (mine, None, ada.id)):
        guarded.query(
            "insert into outlast.workflow_status"
            " (workflow_id, function, subject, status, queue, owner, claimable_at)"
            " values (%s, 'guarded', %s, %s, %s, %s, %s::timestamptz) returning 1",
            workflow_id, subject, "PENDING" if owner else "ENQUEUED", queue, owner, None if owner else "now",
        )  # fmt: skip
    assert ada.ask(f"/{mine}").json()["waiting_on"] == f"concurrency {queue}"
    assert [each["waiting_on"] for each in ada.ask("").json()["workflows"]] == [f"concurrency {queue}"]
    for found in (
        guarded.admin.get(f"/workflows/v1/{mine}").json(),
        guarded.admin.get("/workflows/v1", params={"queue": queue}).json()["workflows"][0],
    ):
        assert found["waiting_on"].startswith(f"concurrency {queue} 1/1, held by {others} since ")
    assert guarded.admin.get(f"/workflows/v1/{others}").json()["waiting_on"] is None
