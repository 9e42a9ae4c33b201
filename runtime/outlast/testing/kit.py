"""`outlast`, the fixture: a user's workflows on the real engine, in virtual time, without a server."""

from __future__ import annotations

import asyncio
import secrets
from collections.abc import Callable, Mapping
from datetime import UTC, datetime, timedelta
from functools import partial
from itertools import count
from typing import TYPE_CHECKING, Any, Literal

from pydantic_core import to_json

from outlast.core.callers import NOBODY, Caller
from outlast.core.errors import UsageError
from outlast.core.records import NewWorkflow
from outlast.sdk.definitions import WorkflowDefinition
from outlast.sdk.durations import seconds_of
from outlast.testing.answers import Answer
from outlast.testing.asking import A, Asker, Done, Proof
from outlast.testing.catalog import GivenCatalog
from outlast.testing.clock import seconds_to_pass
from outlast.testing.crashing import cancel_everywhere, crash_campaign
from outlast.testing.determinism import check_determinism
from outlast.testing.doubles import UNSET, Stub
from outlast.testing.errors import Unproved
from outlast.testing.exploring import explore
from outlast.testing.histories import Bundle, check_all, recorded
from outlast.testing.processes import Process
from outlast.testing.proving import Prover
from outlast.testing.reports import Report
from outlast.testing.runs import Run
from outlast.testing.starting import called, choose_faults, definition_of, take_option, workflow_of_call
from outlast.testing.telling import Telling
from outlast.testing.worlds import Connect, Setting, World

if TYPE_CHECKING:
    from outlast.testing.calling import Http, Presented


class Outlast:
    """The face of Outlast for a test. `async def` tests await its calls, `def` tests only make them."""

    def __init__(self, *, seed: int = 0, databases: Any = None) -> None:
        """`seed` is for the engine's own random pauses.

        `databases` (outlast.testing.postgres.Databases): where transactions without a stand-in run.
        """
        self._databases = databases
        connect: Connect | None = None
        if databases is not None:
            databases.make()
            connect = databases.connect
        self._catalog = GivenCatalog()
        self._setting = Setting(self._catalog, seed=seed, connect=connect)
        self._world = World(self._setting)
        self.reports: list[Report] = []
        """The reports of `crash_everywhere` in this test."""
        self._telling = Telling(self._world)
        self._asker = Asker(self._world.interrupt)
        self._prover = Prover(self._asker, self._setting, databases)
        self._numbers = count(1)
        self._caller: Caller = NOBODY
        self._presented: Presented = "secret"
        self._web: list[Http] = []
        self._key: str | None = None

    # --- doubles ------------------------------------------------------------------------------------------

    def stub(
        self,
        step: Any,
        *,
        returns: Any = UNSET,
        raises: Any = (),
        by: Callable[..., Any] | None = None,
    ) -> Stub:
        """Let a stub stand in for a step or a transaction, from now on.

        It raises what `raises` lists, one per call (None: that call succeeds), then returns `returns`. Or
        `by(…)` is called with the step's arguments (for a transaction those after the connection); it may be
        `async def`. `calls` of the returned stub holds the arguments of each call. Raises UsageError.
        """
        return self._setting.doubles.add(step, returns, raises, by)

    @property
    def only_stubs(self) -> bool:
        """Whether a step without a stub fails the test."""
        return self._setting.doubles.only_stubs

    @only_stubs.setter
    def only_stubs(self, value: bool) -> None:
        self._setting.doubles.only_stubs = value

    @property
    def waits_max(self) -> int:
        """How often a workflow may wait (sleeps, timers, receives) in one call that goes to its end."""
        return self._setting.bounds.waits_max

    @waits_max.setter
    def waits_max(self, value: int) -> None:
        self._setting.bounds.waits_max = value

    @property
    def calls_max(self) -> int:
        """How many calls of any kind a workflow may make in one call of the test."""
        return self._setting.bounds.calls_max

    @calls_max.setter
    def calls_max(self, value: int) -> None:
        self._setting.bounds.calls_max = value

    # --- running ------------------------------------------------------------------------------------------

    def run(self, workflow: Any, /, *args: Any, **kwargs: Any) -> Run:
        """Run a workflow to its end. Time passes as needed.

        The arguments are those of a call; if a workflow takes one model, its fields may be given as keywords.
        Raises what the workflow raises, Deadlock if it can't end, and UsageError.
        """
        new = self._new("run", workflow, args, kwargs)
        run = Run(self._world)

        def work() -> None:
            self._start(run, *new)
            self._finish_or_raise(run)

        return self._ask("run", run, work)

    def start(self, workflow: Any, /, *args: Any, **kwargs: Any) -> Run:
        """Start a workflow, and let happen what happens at once: no time passes."""
        new = self._new("start", workflow, args, kwargs)
        run = Run(self._world)

        def work() -> None:
            self._start(run, *new)
            self._world.settle()

        return self._ask("start", run, work)

    def call_twice(self, workflow: Any, /, *args: Any, **kwargs: Any) -> Run:
        """Two callers at once with one key; returns the one run. Raises what that raises."""
        caller = self if self._key is not None else self.with_key(f"twice-{next(self._numbers)}")
        new = caller._new("call_twice", workflow, args, kwargs)
        run = Run(self._world)

        async def both(process: Process) -> None:
            start = process.engine.starts.start_new
            await asyncio.gather(start(*new, None), start(*new, None))

        def work() -> None:
            self._world.ask(both)
            run._begin(new[0].workflow_id)
            self._finish_or_raise(run)

        return self._ask("call_twice", run, work)

    def finish(self, run: Run) -> Run:
        """Let time pass until a workflow has ended; its failure isn't raised. Raises Deadlock."""
        workflow_id = run.workflow_id
        found = Run(self._world, workflow_id)
        return self._ask("finish", found, lambda: self._finish_id(workflow_id))

    def send(self, run: Run | str, value: Any, topic: str = "") -> Done:
        """Send a message to a workflow. Raises WorkflowNotFound and WorkflowEnded."""
        workflow_id = run if isinstance(run, str) else run.workflow_id
        text = to_json(value).decode()

        def work() -> None:
            self._world.ask(lambda process: process.engine.host.send(workflow_id, text, topic, None))
            self._world.settle()

        return self._ask("send", Done(), work)

    def cancel(self, run: Run | str) -> Done:
        """Cancel a workflow. Raises UsageError if it has ended."""
        workflow_id = run if isinstance(run, str) else run.workflow_id

        def work() -> None:
            if not self._world.ask(lambda process: process.engine.cancel(workflow_id, "the test")):
                raise UsageError(f"{workflow_id} has ended, or never began: there is nothing to cancel")
            self._world.settle()

        return self._ask("cancel", Done(), work)

    def call(
        self,
        function: Any,
        path: str = "",
        *,
        method: str | None = None,
        json: Any = None,
        content: str | bytes | None = None,
        data: Any = None,
        files: Any = None,
        params: Any = None,
        headers: Mapping[str, str] | None = None,
        patience: float | timedelta = 300,
    ) -> Answer:
        """Call a function over HTTP, without a socket: the host's own routes, callers and answers.

        `function` is a workflow or a handler, and `path` is the rest of the path after its name. Or
        `function` is a text with the whole path: `/functions/v1/NAME`, `/workflows/v1/ID`. The method is POST
        for functions and GET for other paths, unless `method` is given. `json`, `content`, `data` (a form),
        `files` and `params` (the query) are as in httpx.

        The caller holds a secret key, as `outlast invoke` does; see `as_user`, `as_key`, `as_nobody`. A
        webhook's delivery is signed with the secret in its variable, unless `as_nobody` sends it. Time passes
        while the call waits; after `patience` the client leaves. Raises UsageError and Deadlock. A failure of
        the function isn't raised, since it is an answer.
        """
        import httpx

        web = self._http()
        path, usual = called(self._catalog, function, path)
        request = httpx.Request(
            method or usual, f"http://localhost{path}", json=json, content=content, data=data, files=files,
            params=params, headers=headers,
        )  # fmt: skip
        patience_s = seconds_of(patience, "outlast.call(patience)")
        answer = Answer(self._world)

        def work() -> None:
            web.sign(request, path, self._presented, self._key, self._world.now_s())
            found = self._world.ask(lambda process: web.exchange(process, request, patience_s))
            self._world.settle()
            answer._fill(found)

        return self._ask("call", answer, work)

    def advance(self, duration: float | timedelta | None = None, /, **units: float) -> Done:
        """Let time pass: seconds, a timedelta, or `days=14`, `hours=…` as a timedelta takes them."""
        seconds = seconds_to_pass(duration, units)

        def work() -> None:
            self._world.drive(lambda: False, seconds)
            self._world.settle()  # what is due right now

        return self._ask("advance", Done(), work)

    def schedule(self, workflow: Any, /) -> None:
        """Let the schedules of a workflow tick from now on, as time passes: `outlast.advance(days=1)`.

        Without this no schedule ticks. Raises UsageError for a workflow without schedules.
        """
        definition = getattr(workflow, "definition", None)
        if not isinstance(definition, WorkflowDefinition) or not definition.schedules:
            raise UsageError(f"outlast.schedule takes a workflow with a schedule, not {workflow!r:.100}")
        self._world.catalog.let_tick(definition)

    # --- Postgres -----------------------------------------------------------------------------------------

    def execute(self, statement: str, parameters: Any = None) -> list[dict[str, Any]]:
        """Run SQL on the test's Postgres, commit, and return its rows.

        Raises UsageError if there is no Postgres.
        """
        if self._databases is None:
            raise UsageError(
                "outlast.execute needs Postgres: run the tests with `--outlast-pg`, or mark this one "
                "`@pytest.mark.outlast_pg`"
            )
        rows: list[dict[str, Any]] = self._databases.execute(statement, parameters)
        return rows

    # --- proving ------------------------------------------------------------------------------------------

    def crash_everywhere(self, workflow: Any, /, *args: Any, **kwargs: Any) -> Report:
        """Run a workflow, then once more for each point of that run: killed there, recovered, to the end.

        Each time its result and its records must be those of the calm run. Steps are run, or their stand-ins;
        `answer` sends the messages it waits for, `before_each` resets the outside world. Raises Unproved with
        what was found, and where; Deadlock and UsageError as `run` does.
        """
        definition = definition_of(workflow, "crash_everywhere")
        report = Report(definition.name)
        subject = self._prover.subject("crash_everywhere", definition, args, kwargs, self._caller)

        def work() -> None:
            report._fill(crash_campaign(subject, self._setting.seed))
            report._asked = True
            self.reports.append(report)
            if (failure := report.failure()) is not None:
                raise Unproved(failure)

        return self._prover.prove("crash_everywhere", report, work)

    def deterministic(self, workflow: Any, /, *args: Any, **kwargs: Any) -> Proof:
        """Run a workflow, then replay it several times from its records: it must make the same calls.

        Replays run at other times, with other random numbers and, if its code iterates over sets, in
        processes with other hashes. `n=20` sets how many; a workflow with a parameter `n` gets it itself.
        Raises Unproved with the first line that differs.
        """
        definition = definition_of(workflow, "deterministic")
        replays = take_option(definition, kwargs, "n", 20)
        subject = self._prover.subject("deterministic", definition, args, kwargs, self._caller)
        return self._prover.prove_and_tell("deterministic", partial(check_determinism, subject, replays))

    def replay(self, bundle: Bundle) -> Done:
        """Replay histories of production against today's code, without running a step.

        `bundle` is a file with one history in each line, as the query of docs/testing.md returns them, or the
        documents themselves. Raises Unproved with each workflow that would do something else than is
        recorded, and UsageError for a bundle without histories.
        """
        histories = recorded(bundle)

        return self._asker.ask("replay", Done(), partial(check_all, histories, self._catalog))

    def explore(self, workflow: Any, /, *args: Any, **kwargs: Any) -> Proof:
        """Run schedules drawn by a seed, with crashes, hand-overs and lost answers of the database.

        `schedules=1000` of them, from `seed=` on; `faults="all"` or some of `kills`, `hand-overs` and
        `mishaps`. A workflow with a parameter of such a name gets it itself. Raises Unproved with the first
        one that fails, shrunk, and its seed.
        """
        definition = definition_of(workflow, "explore")
        count = take_option(definition, kwargs, "schedules", 1000)
        first = take_option(definition, kwargs, "seed", secrets.randbelow(10**6) * 1000)
        faults = choose_faults(take_option(definition, kwargs, "faults", "all"))
        subject = self._prover.subject("explore", definition, args, kwargs, self._caller)
        return self._prover.prove_and_tell("explore", partial(explore, subject, first, count, faults))

    def cancel_everywhere(self, workflow: Any, /, *args: Any, **kwargs: Any) -> Proof:
        """Cancel a workflow at each point of its run: it must end, and call nothing while it is unwound.

        Raises Unproved.
        """
        definition = definition_of(workflow, "cancel_everywhere")
        subject = self._prover.subject("cancel_everywhere", definition, args, kwargs, self._caller)
        return self._prover.prove_and_tell("cancel_everywhere", partial(cancel_everywhere, subject))

    def answer(self, topic: str, value: Any) -> None:
        """Send `value` to each workflow that waits for a message of `topic`, each time it does."""
        self._setting.answers[topic] = value

    def before_each(self, reset: Callable[[], None]) -> None:
        """Call `reset` before each run of `crash_everywhere`, so that nothing of the last one is left."""
        self._prover.before_each = reset

    @property
    def now(self) -> datetime:
        """The test's time: it starts with 2026, and passes only with `run`, `finish` and `advance`."""
        return datetime.fromtimestamp(self._world.now_s(), UTC)

    # --- for whom, under which key ------------------------------------------------------------------------

    def as_user(self, claims: Mapping[str, Any]) -> Outlast:
        """The same for a signed-in user: `claims` are those of the JWT, with `sub` at least."""
        if not isinstance(claims.get("sub"), str):
            raise UsageError('outlast.as_user takes the claims of a JWT: {"sub": "the user\'s id", …}')
        caller = Caller("user", {"role": "authenticated", **claims})
        return self._copy_with(_caller=caller, _presented=dict(claims))

    def as_key(self, name: str) -> Outlast:
        """The same for a holder of an API key, named as in `auth=`: `publishable`, `secret:automations`."""
        self._http().add_key(name)
        kind, _, key_name = name.partition(":")
        mode: Literal["publishable", "secret"] = "secret" if kind == "secret" else "publishable"
        return self._copy_with(_caller=Caller(mode, {}, key_name or "default"), _presented=name)

    def as_nobody(self) -> Outlast:
        """The same for a stranger: `call` sends neither token nor key, and signs nothing."""
        return self._copy_with(_caller=NOBODY, _presented=None)

    def with_key(self, key: str) -> Outlast:
        """The same with an idempotency key: one key of one caller is one workflow."""
        return self._copy_with(_key=key)

    def _copy_with(self, **other: Any) -> Outlast:
        copy = object.__new__(Outlast)
        copy.__dict__.update(self.__dict__)
        copy.__dict__.update(other)
        return copy

    # --- its inside ---------------------------------------------------------------------------------------

    def _http(self) -> Http:
        """Made on demand: most tests load no web floor."""
        from outlast.testing.calling import Http

        if not self._web:
            self._web.append(Http(self._catalog))
        return self._web[0]

    def _new(
        self, what: str, workflow: Any, args: tuple[Any, ...], kwargs: dict[str, Any]
    ) -> tuple[NewWorkflow, WorkflowDefinition]:
        definition = definition_of(workflow, what)
        key = f"test-{next(self._numbers)}" if self._key is None else self._key
        return workflow_of_call(self._world, definition, args, kwargs, self._caller, key), definition

    def _start(self, run: Run, new: NewWorkflow, definition: WorkflowDefinition) -> None:
        async def start(process: Process) -> None:
            await process.engine.starts.start_new(new, definition, None)

        self._world.ask(start)
        run._begin(new.workflow_id)

    def _finish_id(self, workflow_id: str) -> None:
        self._world.drive(lambda: self._world.ended(workflow_id))

    def _finish_or_raise(self, run: Run) -> None:
        self._finish_id(run.workflow_id)
        if (error := run.error) is not None:
            raise error

    def _ask(self, name: str, found: A, work: Callable[[], None]) -> A:
        return self._asker.ask(name, found, partial(self._telling.after, work))

    def close(self) -> None:
        """Release everything; the fixture calls it."""
        self._asker.close()
        self._world.end()
        if self._databases is not None:
            self._databases.drop()
