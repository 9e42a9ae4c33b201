"""`deterministic`: runs a workflow once, then replays it with other hashes, times and random numbers."""

from __future__ import annotations

import random
from types import CodeType

from outlast.sdk.definitions import WorkflowDefinition
from outlast.testing.again import NotFoundAgain, replay_elsewhere
from outlast.testing.comparing import SAME, Finding, misused, mutated, place_of
from outlast.testing.ends import check_calm, say_end
from outlast.testing.errors import Unproved
from outlast.testing.replaying import History, replay_history
from outlast.testing.trials import Subject, Trial, many_trials, run_trial

ELSEWHERE = (1, 2)
"""Hash seeds that are tried in separate processes."""

BY_HASH = (
    "It follows from how this process hashes. Processes of one project hash alike (`outlast serve` sees to "
    "that), until the database's password changes: go over `sorted(…)`."
)


def check_determinism(subject: Subject, replays: int) -> str:
    """Run it calmly, then replay it; return the text to print. Raises what `check_calm` raises.

    Raises Unproved with the first difference of each kind of replay.
    """
    with many_trials() as graves:
        calm = run_trial(subject, graves, watch=True, closely=True)
        check_calm(subject, calm)
        findings = [*misused(calm), *mutated(calm)]
        chance = random.Random(subject.setting.seed)
        for number in range(replays):
            found = replay_history(
                calm.history, _definitions(subject, calm.history), graves,
                later_s=chance.uniform(1, 400 * 86400), seed=chance.getrandbits(30),
            )  # fmt: skip
            if found is not None:
                where = f"replay {number + 1} of {replays}"
                does = "a replay does something else"
                findings.append(Finding(does, found.place, found.text, SAME, where=where))
                break
        findings += by_hash(subject, calm)
    if findings:
        told = "\n".join(f"  {each}" for each in findings)
        raise Unproved(f"{subject.definition.name} is not deterministic:\n{told}")
    return f"{subject.definition.name} {say_end(calm)}, and did the same in {replays} replays"


def by_hash(subject: Subject, calm: Trial) -> list[Finding]:
    """Differences in processes with other hashes. They are started only for code that iterates over sets."""
    definitions = _definitions(subject, calm.history)
    if not any(goes_over_sets(each) for each in definitions.values()):
        return []
    for seed in ELSEWHERE:
        try:
            found = replay_elsewhere(calm.history, definitions, seed)
        except NotFoundAgain as why:
            title = "its sets can't be tried with another hash seed"
            remedy = "Define it at the top level of a module."
            return [Finding(title, place_of(subject.definition.fn), str(why), remedy)]
        if found is not None:
            return [Finding("a replay with another hash seed differs", found.place, found.text, BY_HASH)]
    return []


def goes_over_sets(definition: WorkflowDefinition) -> bool:
    """Whether its function, or one of its module that it names, makes or takes a set."""
    seen: set[CodeType] = set()
    left = [definition.fn.__code__]
    while left:
        code = left.pop()
        if code in seen:
            continue
        seen.add(code)
        if {"set", "frozenset"} & set(code.co_names) or _builds_sets(code):
            return True
        left += [each for each in code.co_consts if isinstance(each, CodeType)]
        for name in code.co_names:
            named = getattr(definition.fn.__globals__.get(name), "__code__", None)
            if isinstance(named, CodeType):
                left.append(named)
    return False


def _builds_sets(code: CodeType) -> bool:
    import dis

    names = {each.opname for each in dis.get_instructions(code)}
    return bool(names & {"BUILD_SET", "SET_ADD", "SET_UPDATE"}) or any(
        isinstance(each, frozenset) for each in code.co_consts
    )


def _definitions(subject: Subject, history: History) -> dict[str, WorkflowDefinition]:
    found = {}
    for new, *_ in history.workflows:
        definition = subject.setting.catalog.workflow(new.function)
        if definition is not None:
            found[new.function] = definition
    return found
