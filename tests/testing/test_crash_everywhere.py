"""`crash_everywhere` finds what is wrong with faulty workflows, with the line, and nothing with good ones."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

from outlast import workflow
from outlast.core.places import shown_place
from outlast.testing import Outlast, Unproved
from outlast.testing.statements.workflows import WorkflowStatements
from tests.testing import faulty, sound

SOURCE = Path(faulty.__file__).read_text().splitlines()


def line_of(workflow: str) -> int:
    """The line that is marked in a workflow, or for it."""
    for number, line in enumerate(SOURCE, 1):
        if f"# HERE for `{workflow}`" in line:
            return number
    start = next(number for number, line in enumerate(SOURCE) if f"def {workflow}(" in line)
    return next(number for number, line in enumerate(SOURCE[start:], start + 1) if line.endswith("# HERE"))


@pytest.mark.parametrize(
    ("workflow", "said"),
    [
        ("clock_between_steps", "reads time.time"),
        ("chance_between_steps", r"reads random\.random"),
        ("caught_base_exception", "refused"),
        ("global_counter", "other arguments"),
        ("body_opens_a_file", "opens a file"),
        ("body_calls_the_network", "network"),
        ("body_pauses_its_thread", "pauses its thread"),
        ("step_in_finally", "refused"),
        ("step_after_a_caught_cancellation", "refused"),
        ("step_changes_its_argument", "changes an argument"),
    ],
)
def test_each_fault_is_found_with_its_line(outlast: Outlast, workflow: str, said: str) -> None:
    with pytest.raises(Unproved, match=said) as failure:
        _ = outlast.crash_everywhere(getattr(faulty, workflow))
    assert f"{shown_place(faulty.__file__, line_of(workflow))}: " in str(failure.value)
    assert "In Outlast itself" not in str(failure.value)


def test_a_body_that_does_otherwise_when_recovered_is_found(outlast: Outlast) -> None:
    with pytest.raises(Unproved) as failure:
        _ = outlast.crash_everywhere(faulty.counts_its_recoveries)
    assert "calls work, where it had called refund" in str(failure.value)


def test_a_step_without_a_key_is_told_of(outlast: Outlast) -> None:
    outlast.before_each(faulty.charged.clear)
    with pytest.raises(Unproved, match="came to something else") as failure:
        _ = outlast.crash_everywhere(faulty.step_without_a_key)
    place = shown_place(faulty.__file__, line_of("step_without_a_key") - 1)
    assert f"charge ({place}): 2 times, killed after charge (1)" in str(failure.value)


def test_the_report_tells_what_ran_twice_and_what_to_do(outlast: Outlast) -> None:
    outlast.stub(faulty.charge, returns="paid")
    report: Any = outlast.crash_everywhere(faulty.step_without_a_key)
    (repeated,) = report.repeated
    assert (repeated.name, repeated.times, repeated.keyed) == ("charge", 2, False)
    assert "No key is seen in it" in str(report)
    assert report.crashes > 4


def test_the_order_of_a_set_is_found_by_replays_that_hash_otherwise(outlast: Outlast) -> None:
    place = (faulty.__file__, line_of("order_of_a_set"))
    report: Any = outlast.crash_everywhere(faulty.order_of_a_set)
    assert [each.place for each in report.remarks] == [place]
    with pytest.raises(Unproved, match="another hash seed") as failure:
        _ = outlast.deterministic(faulty.order_of_a_set)
    assert f"{shown_place(*place)}: " in str(failure.value)


def test_a_fault_of_the_engine_is_told_as_such(outlast: Outlast, monkeypatch: pytest.MonkeyPatch) -> None:
    load = WorkflowStatements.load

    def forgetful(self: WorkflowStatements, ids: Any) -> Any:
        return {each: (found[0], []) for each, found in load(self, ids).items()}

    monkeypatch.setattr(WorkflowStatements, "load", forgetful)
    outlast.stub(sound.pay, returns=3)
    with pytest.raises(Unproved, match="In Outlast itself") as failure:
        _ = outlast.crash_everywhere(sound.in_a_row)
    assert "ran again, though it was recorded" in str(failure.value)


def test_a_seed_gives_the_failure_again(outlast: Outlast) -> None:
    with pytest.raises(Unproved) as first:
        _ = outlast.explore(faulty.counts_its_recoveries, seed=5, schedules=50)
    seed = int(str(first.value).partition("seed=")[2].partition(")")[0])
    with pytest.raises(Unproved) as again:
        _ = outlast.explore(faulty.counts_its_recoveries, seed=seed, schedules=1)
    assert str(first.value).partition(":\n")[2] == str(again.value).partition(":\n")[2]
    assert str(again.value).count(" and then ") == 0, "as small as it goes"


@pytest.mark.skipif(not Path("/proc/self/fd").exists(), reason="counts the descriptors in /proc")
def test_processes_that_were_killed_keep_no_descriptors(outlast: Outlast) -> None:
    outlast.stub(sound.pay, returns=1)
    open_files: list[int] = []
    outlast.before_each(lambda: open_files.append(len(list(Path("/proc/self/fd").iterdir()))))
    assert outlast.crash_everywhere(sound.in_a_row).crashes > 10
    assert max(open_files) - min(open_files) < 10


@dataclass(frozen=True)
class Frozen(Exception):
    """Nothing can be set on it, no traceback either."""

    code: int


@workflow
async def refuses() -> None:
    raise Frozen(7)


@pytest.mark.parametrize("ask", ["crash_everywhere", "deterministic", "explore"])
def test_what_fails_without_a_crash_is_told_whatever_its_class_refuses(outlast: Outlast, ask: str) -> None:
    with pytest.raises(Frozen):
        _ = getattr(outlast, ask)(refuses)
