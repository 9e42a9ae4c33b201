"""What running steps emit, as streams over a socket tell it."""

from __future__ import annotations

from typing import Any

from tests.http.conftest import OPEN, Start
from tests.http.harness import Served, fresh_key
from tests.http.test_events import Event, following
from tests.http.test_published import watching


def emitted(events: list[Event]) -> list[Any]:
    return [each.data["value"] for each in events if each.kind == "emitted"]


def kinds(events: list[Event]) -> list[tuple[str, str | None]]:
    return [(each.kind, each.number) for each in events]


def test_what_a_step_emits_comes_while_it_runs_and_before_its_record(host: Served) -> None:
    key = fresh_key()
    with following(host, "emitting", key) as events:
        first = [next(events) for _ in range(3)]
        assert kinds(first) == [("status", "0"), ("event", "1"), ("emitted", None)]
        assert first[2].data == {
            "step_id": "2",
            "name": "tokens",
            "epoch": 1,
            "attempt": 1,
            "number": 1,
            "value": "a",
        }
        host.open(key)  # only now: the first was told before the second was emitted
        rest = list(events)
    assert kinds(rest) == [
        ("emitted", None),
        ("emitted", None),
        ("step", "2"),
        ("event", "3"),
        ("result", "4"),
    ]
    assert emitted(rest) == [{"odd\nname": "é"}, None]
    assert rest[-1].data["body"] == "all of it"


def test_nothing_emitted_is_told_again(host: Served) -> None:
    """A stream that is resumed has no hole and no value twice: what has a number is exact."""
    key = fresh_key()
    host.open(key)
    assert host.call("emitting", {"key": key}, key=key).json() == "all of it"
    for seen, numbers in (("0", ["0", "1", "2", "3", "4"]), ("2", ["2", "3", "4"])):
        with following(host, "emitting", key, **{"last-event-id": seen}) as events:
            assert [each.number for each in events] == numbers
    with watching(host, f"emitting:{key}") as events:
        assert kinds(list(events)) == [("event", "1"), ("event", "3"), ("end", None)]


def test_the_stream_of_events_tells_it_too_unless_one_name_is_asked_for(host: Served) -> None:
    key = fresh_key()
    workflow_id = host.begin("emitting", key)
    with watching(host, workflow_id) as events, watching(host, workflow_id, "?event=after") as named:
        assert next(events).number == "1"
        host.until_seen(key)
        host.open(key)
        told = kinds(list(events))
        assert told[-2:] == [("event", "3"), ("end", None)]
        assert set(told[:-2]) == {("emitted", None)}
        assert kinds(list(named)) == [("event", "3"), ("end", None)]


def test_each_attempt_of_a_def_step_is_told_apart(host: Served) -> None:
    key = fresh_key()
    with following(host, "emitting/retrying", key) as events:
        first = [next(events) for _ in range(3)]
        assert kinds(first) == [("status", "0"), ("emitted", None), ("emitted", None)]
        host.open(key)
        rest = list(events)
    said = [each.data for each in [*first[1:], *rest[:-2]]]
    assert [(each["attempt"], each["number"], each["value"]) for each in said] == [
        (1, 1, 1),
        (1, 2, 2),
        (2, 1, 1),
        (2, 2, 2),
        (2, 3, 3),
    ]
    assert kinds(rest[-2:]) == [("step", "1"), ("result", "2")]
    assert host.seen(key) == 2


def test_a_slow_reader_holds_up_nobody_and_learns_how_many_it_missed(host: Served) -> None:
    """It reads nothing while more is emitted than sockets and its buffer hold."""
    key, values, size = fresh_key(), 2_000, 20_000
    with following(host, "emitting/flooding", key, {"key": key, "values": values, "size": size}) as events:
        assert next(events).kind == "status"
        host.until_seen(key)
        host.open(key)
        host.until_seen(f"{key}.said")  # the step has ended, and nothing was read
        rest = list(events)
    dropped = [each for each in rest if each.kind == "dropped"]
    told = [each.data for each in rest if each.kind == "emitted"]
    assert dropped
    assert sum(each.data["count"] for each in dropped) + len(told) == values
    numbers = [each["number"] for each in told]
    assert numbers == sorted(set(numbers))
    assert numbers[-1] == values  # the newest ones are kept
    at = 0
    for each in rest[:-2]:  # each gap is told where it is
        at += each.data["count"] if each.kind == "dropped" else 1
        assert each.kind == "dropped" or each.data["number"] == at
    assert rest[-1].data == {"status": 200, "replayed": False, "body": values}


def test_a_reader_that_goes_away_leaves_the_step_alone(host: Served) -> None:
    key = fresh_key()
    with following(host, "emitting", key) as events:
        assert next(events).kind == "status"
        host.until_seen(key)
    host.open(key)
    assert host.call("emitting", {"key": key}, key=key).json() == "all of it"


def test_another_instance_tells_records_alone(start_host: Start) -> None:
    runs = start_host()
    other = start_host(OPEN, beside=runs)
    key = fresh_key()
    workflow_id = runs.begin("emitting", key)
    with watching(other, workflow_id) as there, watching(runs, workflow_id) as here:
        assert next(there).number == next(here).number == "1"
        runs.until_seen(key)
        runs.open(key)
        assert kinds(list(there)) == [("event", "3"), ("end", None)]
        assert emitted(list(here))[-2:] == [{"odd\nname": "é"}, None]


def test_values_stand_where_they_were_said_among_the_records(host: Served) -> None:
    """Each one after all that was recorded before it, and before the record of its own step."""
    key = fresh_key()
    with following(host, "emitting/in_order", key, {"key": key, "steps": 100}) as events:
        told = [each for each in events if each.kind in ("emitted", "step", "event")]
    assert [each.data.get("step_id", each.data.get("event")) for each in told] == [
        *(str(number) for number in range(1, 101) for _ in range(2)),
        "last",
    ]
    assert [each.kind for each in told] == [*("emitted", "step") * 100, "event"]
