"""Looking at workflows, waiting for them and cancelling them."""

from __future__ import annotations

import json
from datetime import UTC, datetime, timedelta
from pathlib import Path
from urllib.parse import parse_qs, urlsplit

import pytest

from outlast.core.clock import Clock
from tests.cli.conftest import SECRET, Runs, problem, workflow
from tests.cli.stand_in import Reply, StandIn
from tests.cli.terminal import seen_on_terminal

LIST = "/workflows/v1"


def query(host: StandIn, number: int = 0) -> dict[str, list[str]]:
    return parse_qs(urlsplit(host.seen[number].path).query)


def test_a_list_for_programs_is_tabs_without_titles(outlast: Runs, host: StandIn) -> None:
    rows = [workflow("hello:1"), workflow("hello:2", "PENDING", recovery_attempts=2)]
    host.on("GET", LIST, Reply(document={"workflows": rows}))
    ran = outlast("workflows", "list")
    assert (ran.status, ran.err) == (0, "")
    assert ran.out.splitlines() == [
        "hello:1\thello\tSUCCESS\t2026-11-22T10:00:00Z\t2026-11-22T10:03:20Z\t0\t",
        "hello:2\thello\tPENDING\t2026-11-22T10:00:00Z\t\t2\t",
    ]
    assert host.seen[0].headers["apikey"] == SECRET
    assert query(host) == {"limit": ["20"]}


def test_filters_go_to_the_host(call: Runs, host: StandIn) -> None:
    host.on("GET", LIST, Reply(document={"workflows": []}))
    arguments = [
        "--function",
        "a b",
        "--status",
        "error",
        "--status",
        "PENDING",
        "--limit",
        "7",
        "--error",
        "no x",
        "--version",
        "v1",
    ]
    assert call("workflows", "list", *arguments, "--until", "2026-01-31").status == 0
    sent = query(host)
    assert sent["function"] == ["a b"]
    assert sent["status"] == ["ERROR", "PENDING"]
    assert sent["limit"] == ["7"]
    until = datetime.fromisoformat(sent["until"][0])
    assert until == datetime.fromisoformat("2026-01-31").astimezone()


def test_since_takes_how_long_ago(call: Runs, host: StandIn) -> None:
    host.on("GET", LIST, Reply(document={"workflows": []}))
    before = Clock().now() - timedelta(hours=2)
    call("workflows", "list", "--since", "2h")
    since = datetime.fromisoformat(query(host)["since"][0])
    assert before <= since <= Clock().now() - timedelta(hours=2) + timedelta(seconds=1)


@pytest.mark.parametrize("when", ["yesterday", "99999999d", "3", "2026-13-01"])
def test_what_is_no_time_is_wrong_usage(call: Runs, host: StandIn, when: str) -> None:
    ran = call("workflows", "list", "--since", when)
    assert (ran.status, host.seen) == (2, [])
    assert "is no time" in ran.err


def test_pages_are_followed_as_far_as_asked_for(call: Runs, host: StandIn) -> None:
    following = Reply(
        document={"workflows": [workflow("hello:1"), workflow("hello:2")]},
        headers={"link": '</workflows/v1?limit=3&cursor=abc>; rel="next"'},
    )
    host.on("GET", LIST, following)
    ran = call("workflows", "list", "--limit", "3", "--json")
    found = json.loads(ran.out)["workflows"]
    assert [each["workflow_id"] for each in found] == ["hello:1", "hello:2", "hello:1"]
    assert host.seen[1].path == "/workflows/v1?limit=3&cursor=abc"
    assert len(host.seen) == 2


def test_a_next_page_on_another_host_is_refused(call: Runs, host: StandIn) -> None:
    link = {"link": '<http://example.com/workflows/v1>; rel="next"'}
    host.on("GET", LIST, Reply(document={"workflows": [workflow("hello:1")]}, headers=link))
    ran = call("workflows", "list")
    assert ran.status == 1
    assert "another host, example.com" in ran.err


def test_a_list_on_a_terminal_fits_it(host: StandIn, project: Path) -> None:
    now = Clock().now()
    rows = [
        workflow("hello:" + "x" * 80, created_at=(now - timedelta(minutes=3)).isoformat(), completed_at=None),
        workflow("hello:2", "ERROR", recovery_attempts=2, error={"message": "ValueError: no\nmore"}),
        workflow("hello:3", "PENDING", claimable_at=(now + timedelta(hours=5, minutes=1)).isoformat()),
        workflow("hello:4", "PENDING", claimable_at=(now + timedelta(days=36600)).isoformat()),
    ]
    host.on("GET", LIST, Reply(document={"workflows": rows}))
    shown = seen_on_terminal(project, "workflows", "list", columns=110, NO_COLOR="1").splitlines()
    assert shown[0].split() == ["WORKFLOW", "FUNCTION", "STATUS", "CREATED", "TOOK", "RECOVERED", "ERROR"]
    assert all(len(line) <= 110 for line in shown)
    assert "x…" in shown[1]
    assert "3 min ago" in shown[1]
    assert "3 min 20 s" in shown[2]
    assert "2×" in shown[2]
    assert "ValueError: no" in shown[2]
    assert "more" not in shown[2]
    assert "PENDING (wakes in 5 h)" in shown[3]
    assert "PENDING (receiving)" in shown[4]
    assert len({line.find("hello  ") for line in shown[1:]}) == 1, "columns are not aligned"


def test_colours_are_for_terminals_that_want_them(host: StandIn, project: Path) -> None:
    host.on("GET", LIST, Reply(document={"workflows": [workflow("hello:1", "ERROR")]}))
    assert "\x1b[31m" in seen_on_terminal(project, "workflows", "list")
    assert "\x1b" not in seen_on_terminal(project, "workflows", "list", NO_COLOR="1")
    assert "\x1b" not in seen_on_terminal(project, "workflows", "list", TERM="dumb")


def test_an_empty_list_says_so_to_people_alone(call: Runs, host: StandIn, project: Path) -> None:
    host.on("GET", LIST, Reply(document={"workflows": []}))
    assert call("workflows", "list").out == ""
    assert seen_on_terminal(project, "workflows", "list") == "no workflows\n"


def test_ids_are_escaped_in_paths_and_on_the_way_out(call: Runs, host: StandIn) -> None:
    workflow_id = "hello:a/b?c#d %é\x1b"
    path = "/workflows/v1/hello%3Aa%2Fb%3Fc%23d%20%25%C3%A9%1B"
    host.on("GET", path, Reply(document=workflow(workflow_id)))
    ran = call("workflows", "show", workflow_id)
    assert ran.status == 0
    assert ran.out.splitlines()[0] == "workflow_id\thello:a/b?c#d %é\\x1b"


def test_show_for_programs(outlast: Runs, host: StandIn) -> None:
    document = workflow("hello:1", output={"a": [1, None]})
    host.on("GET", "/workflows/v1/hello%3A1", Reply(document=document))
    assert json.loads(outlast("workflows", "show", "hello:1", "--json").out) == document
    assert 'output\t{"a": [1, null]}' in outlast("workflows", "show", "hello:1").out.splitlines()


def test_show_for_people(host: StandIn, project: Path) -> None:
    failure = {"type": "ValueError", "message": "boom\x9b", "traceback": "Traceback:\n  line\x1b[2J\n"}
    error = {"code": "workflow_error", "message": "it failed", "failure": failure}
    document = workflow("hello:1", "ERROR", error=error, input={"name": "Ada"})
    host.on("GET", "/workflows/v1/hello%3A1", Reply(document=document))
    shown = seen_on_terminal(project, "workflows", "show", "hello:1", NO_COLOR="1")
    assert "Status    ERROR\n" in shown
    assert "Took      3 min 20 s\n" in shown
    assert '\nInput\n{\n  "name": "Ada"\n}\n' in shown
    assert "\nTraceback:\n  line\\x1b[2J\n" in shown
    assert '"message": "boom\\u009b"' in shown
    assert '"traceback"' not in shown


def test_what_a_workflow_waits_on_is_shown(outlast: Runs, host: StandIn, project: Path) -> None:
    reason = "concurrency mail[acme] 1/1, held by x since 2026-11-28T22:00:00Z"
    waits = workflow("hello:1", "ENQUEUED", waiting_on=reason)
    host.on("GET", "/workflows/v1/hello%3A1", Reply(document=waits))
    shown = seen_on_terminal(project, "workflows", "show", "hello:1", NO_COLOR="1")
    assert f"Waiting on  {reason}\n" in shown
    host.on("GET", "/workflows/v1", Reply(document={"workflows": [waits], "next": None}))
    assert outlast("workflows", "list").out.rstrip("\n").endswith(f"\t{reason}")


def test_steps(outlast: Runs, host: StandIn, project: Path) -> None:
    wakes = (Clock().now() + timedelta(hours=2, minutes=1)).astimezone(UTC).isoformat()
    steps = [
        {
            "step_id": "1",
            "name": "reserve",
            "status": "SUCCESS",
            "output": True,
            "error": None,
            "attempts": 1,
            "started_at": "2026-11-22T10:00:00Z",
            "completed_at": "2026-11-22T10:00:00.340Z",
        },
        {
            "step_id": "2",
            "name": "charge",
            "status": "ERROR",
            "output": None,
            "error": {"type": "Declined", "message": "no\tmoney"},
            "attempts": 3,
            "started_at": "2026-11-22T10:00:00Z",
            "completed_at": "2026-11-22T10:00:02Z",
        },
        {"step_id": "3", "name": "sleep", "status": "SLEEPING", "attempts": 1, "wake_at": wakes},
    ]
    host.on("GET", "/workflows/v1/hello%3A1/steps", Reply(document={"steps": steps}))
    assert json.loads(outlast("workflows", "steps", "hello:1", "--json").out) == {"steps": steps}
    lines = outlast("workflows", "steps", "hello:1").out.splitlines()
    assert lines[0] == "1\treserve\tSUCCESS\t1\t2026-11-22T10:00:00Z\t2026-11-22T10:00:00.340Z\ttrue"
    assert lines[1].endswith('\t{"type": "Declined", "message": "no\\tmoney"}')
    shown = seen_on_terminal(project, "workflows", "steps", "hello:1", columns=120).splitlines()
    assert "340 ms" in shown[1]
    assert "no\\tmoney" in shown[2]
    assert "SLEEPING (wakes in 2 h)" in shown[3]


def test_steps_that_run(outlast: Runs, host: StandIn, project: Path) -> None:
    now = Clock().now()
    running = {
        "step_id": "1",
        "name": "charge",
        "status": "RUNNING",
        "attempts": 3,
        "started_at": (now - timedelta(minutes=3)).isoformat(),
        "completed_at": None,
        "retry_at": (now + timedelta(hours=2, minutes=1)).isoformat(),
        "instance": "host-7",
    }
    host.on("GET", "/workflows/v1/hello%3A1/steps", Reply(document={"steps": [running]}))
    shown = seen_on_terminal(project, "workflows", "steps", "hello:1", columns=140).splitlines()
    assert "INSTANCE" in shown[0]
    assert "RUNNING (next attempt in 2 h)" in shown[1]
    assert "3 min" in shown[1]
    assert "host-7" in shown[1]


def test_events(outlast: Runs, host: StandIn, project: Path) -> None:
    published = [
        {"number": 2, "event": "progress", "value": {"done": 1}, "published_at": "2026-11-22T10:00:00Z"},
        {"number": 5, "event": "a\tb", "value": None, "published_at": "2026-11-22T10:00:01Z"},
    ]
    host.on("GET", "/workflows/v1/hello%3A1/events", Reply(document={"events": published}))
    assert json.loads(outlast("workflows", "events", "hello:1", "--json").out) == {"events": published}
    lines = outlast("workflows", "events", "hello:1", "--event", "progress").out.splitlines()
    assert host.seen[-1].path.endswith("&event=progress")
    assert lines == [
        '2\tprogress\t2026-11-22T10:00:00Z\t{"done": 1}',
        "5\ta\\tb\t2026-11-22T10:00:01Z\t",
    ]
    shown = seen_on_terminal(project, "workflows", "events", "hello:1", columns=120).splitlines()
    assert "EVENT" in shown[0]
    assert '{"done": 1}' in shown[1]
    host.on("GET", "/workflows/v1/hello%3A1/events", Reply(document={"events": []}))
    assert json.loads(outlast("workflows", "events", "hello:1", "--json").out) == {"events": []}


STREAM = """: following

event: emitted
data: {"step_id": "1", "name": "say", "epoch": 1, "attempt": 2, "number": 1, "value": "a\u2028b"}

event: dropped
data: {"count": 3}

event: event
id: 2
data: {"number": 2, "event": "progress", "value": {"done": 1}, "published_at": "2026-11-22T10:00:00Z"}

"""
END = """event: end
data: {"workflow_id": "hello:1", "status": "SUCCESS"}

"""


def test_events_are_followed_to_the_end_over_streams_that_break(outlast: Runs, host: StandIn) -> None:
    path = "/workflows/v1/hello%3A1/events"
    away = 'event: error\ndata: {"code": "shutting_down", "detail": "it shuts down"}\n\n'
    replies = [
        Reply(body=STREAM.encode()),
        Reply(503, problem(503, "shutting_down", "this instance shuts down")),
        Reply(body=away.encode()),
        Reply(body=END.encode()),
    ]
    host.on("GET", path, *replies)
    ran = outlast("workflows", "events", "hello:1", "--follow", "--event", "progress")
    assert (ran.status, ran.out.splitlines()) == (
        0,
        [
            "emitted\tsay\t1\t2\ta\\u2028b",
            'event\t2\tprogress\t2026-11-22T10:00:00Z\t{"done": 1}',
        ],
    )
    assert ran.err.splitlines() == [
        "dropped: 3 emitted values: this end reads too slowly",
        "ended: hello:1 as SUCCESS",
    ]
    assert [each.headers.get("last-event-id") for each in host.seen] == [None, "2", "2", "2"]
    assert all(each.headers["accept"] == "text/event-stream" for each in host.seen)
    assert all(each.path.endswith("?event=progress") for each in host.seen)
    host.on("GET", path, *replies)
    lines = [
        json.loads(line)
        for line in outlast("workflows", "events", "hello:1", "--follow", "--json").out.splitlines()
    ]
    assert [each["kind"] for each in lines] == ["emitted", "dropped", "event", "end"]
    assert lines[0]["value"] == "a\u2028b"


def test_a_stream_that_is_refused_is_not_asked_for_again(outlast: Runs, host: StandIn) -> None:
    path = "/workflows/v1/hello%3A1/events"
    host.on("GET", path, Reply(404, problem(404, "workflow_not_found", "there is no such workflow")))
    ran = outlast("workflows", "events", "hello:1", "--follow")
    assert (ran.status, len(host.seen)) == (1, 1)
    assert "workflow_not_found" in ran.err
    ended = 'event: error\ndata: {"code": "token_expired", "detail": "the token has ended"}\n\n'
    host.on("GET", path, Reply(body=ended.encode()))
    ran = outlast("workflows", "events", "hello:1", "--follow")
    assert (ran.status, len(host.seen)) == (1, 2)
    assert "the token has ended" in ran.err


def test_cancel(call: Runs, host: StandIn) -> None:
    path = "/workflows/v1/hello%3A1/cancel"
    host.on("POST", path, Reply(document={"workflow_id": "hello:1", "status": "CANCELLED"}))
    assert call("workflows", "cancel", "hello:1").out == "cancelled hello:1\n"
    ran = call("workflows", "cancel", "hello:1", "--json")
    assert json.loads(ran.out) == {"workflow_id": "hello:1", "status": "CANCELLED"}
    host.on("POST", path, Reply(202, {"workflow_id": "hello:1", "status": "PENDING"}))
    said = "accepted hello:1: it is PENDING until what its sagas have done is undone."
    assert call("workflows", "cancel", "hello:1").out == f"{said}\nIts end: outlast workflows wait hello:1\n"
    host.on("POST", path, Reply(409, problem(409, "workflow_ended", "the workflow has ended as SUCCESS")))
    ran = call("workflows", "cancel", "hello:1")
    assert (ran.status, ran.out) == (1, "")
    assert ran.err == "error: the workflow has ended as SUCCESS (409 workflow_ended)\n"


def test_wait_prints_the_output(outlast: Runs, host: StandIn) -> None:
    pending, ended = workflow("hello:1", "PENDING"), workflow("hello:1", output={"a": 1})
    path = "/workflows/v1/hello%3A1"
    host.on("GET", path, Reply(document=pending), Reply(document=ended))
    ran = outlast("workflows", "wait", "hello:1")
    assert (ran.status, ran.out, ran.err) == (0, '{"a": 1}\n', "")
    assert json.loads(outlast("workflows", "wait", "hello:1", "--json").out) == ended


@pytest.mark.parametrize("status", ["ERROR", "CANCELLED", "EXHAUSTED"])
def test_wait_for_what_ended_badly(call: Runs, host: StandIn, status: str) -> None:
    error = {"code": "some_code", "message": "it went wrong"}
    host.on("GET", "/workflows/v1/hello%3A1", Reply(document=workflow("hello:1", status, error=error)))
    ran = call("workflows", "wait", "hello:1", "--json")
    assert ran.status == 1
    assert ran.err == f"error: hello:1 ended as {status}: it went wrong\n"
    assert json.loads(ran.out)["error"] == {
        "code": "some_code",
        "message": f"hello:1 ended as {status}: it went wrong",
        "workflow_id": "hello:1",
        "status": status,
    }


def test_wait_gives_up_when_told_to(call: Runs, host: StandIn) -> None:
    host.on("GET", "/workflows/v1/hello%3A1", Reply(document=workflow("hello:1", "PENDING")))
    ran = call("workflows", "wait", "hello:1", "--timeout", "0")
    assert (ran.status, ran.out) == (1, "")
    assert "has not ended yet" in ran.err


@pytest.mark.parametrize(("reason", "verb"), [("paused", "resume"), ("non_determinism", "show")])
def test_wait_says_that_a_held_one_does_not_go_on(call: Runs, host: StandIn, reason: str, verb: str) -> None:
    held = {"held": {"reason": reason}, "waiting_on": f"{reason} by ann"}
    host.on("GET", "/workflows/v1/hello%3A1", Reply(document=workflow("hello:1", "PENDING", **held)))
    ran = call("workflows", "wait", "hello:1", "--timeout", "0")
    told = f"has not ended yet, and does not go on ({reason} by ann): outlast workflows {verb} hello:1"
    assert ran.err == f"error: hello:1 {told}\n"
    assert ran.status == 1


def test_an_unknown_workflow(call: Runs, host: StandIn) -> None:
    said = problem(404, "workflow_not_found", "there is no workflow with this id")
    host.on("GET", "/workflows/v1/nix", Reply(404, said))
    for command in ("show", "wait"):
        assert call("workflows", command, "nix").err == (
            "error: there is no workflow with this id (404 workflow_not_found)\n"
        )


def test_an_answer_of_something_else(call: Runs, host: StandIn) -> None:
    host.on("GET", LIST, Reply(body=b"<html>", headers={"content-type": "text/html"}))
    ran = call("workflows", "list", "--json")
    assert ran.status == 1
    assert json.loads(ran.out)["error"]["code"] == "bad_answer"
    host.on("GET", LIST, Reply(502, body=b"<html>", headers={"content-type": "text/html"}))
    assert call("workflows", "list").err == "error: the answer was HTTP 502\n"


def test_send_passes_the_message_on_byte_for_byte(outlast: Runs, host: StandIn) -> None:
    path = "/workflows/v1/hello%3A1/messages/a%2Fb%20c"
    host.on("POST", path, Reply(202, {"workflow_id": "hello:1", "message_id": 7}))
    arguments = ("workflows", "send", "hello:1", "--topic", "a/b c", "--data", ' {"n": 1.10}', "--key", "k")
    assert outlast(*arguments).out == "sent 7\n"
    assert json.loads(outlast(*arguments, "--json").out) == {"workflow_id": "hello:1", "message_id": 7}
    assert [each.body for each in host.seen] == [b' {"n": 1.10}'] * 2
    assert host.seen[0].headers["idempotency-key"] == "k"


def test_send_makes_a_key_and_says_why_it_failed(call: Runs, host: StandIn) -> None:
    path = "/workflows/v1/hello%3A1/messages"
    host.on(
        "POST", path, Reply(409, {"code": "workflow_ended", "detail": "it has ended", "retryable": False})
    )
    ran = call("workflows", "send", "hello:1", "--data", "1")
    assert (ran.status, ran.out) == (1, "")
    assert "it has ended (409 workflow_ended)" in ran.err
    assert host.seen[0].headers["idempotency-key"]


@pytest.mark.parametrize("arguments", [(), ("--data", "{"), ("--data", "1", "--key", "\n")])
def test_send_refuses_what_is_no_message(call: Runs, host: StandIn, arguments: tuple[str, ...]) -> None:
    assert call("workflows", "send", "hello:1", *arguments).status == 2
    assert host.seen == []
