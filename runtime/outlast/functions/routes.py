"""From a path to what serves it: tables made once for a version of the folder, read for every request."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, field
from pathlib import Path

from outlast.functions.errors import FunctionBroken, FunctionMissing
from outlast.functions.queues import consumed_queues, declared_queues
from outlast.functions.schedules import schedules_of
from outlast.functions.serving import Offer, Served
from outlast.sdk.definitions import WorkflowDefinition
from outlast.sdk.environment import Own


@dataclass(frozen=True, slots=True)
class Target:
    """What a request's path resolves to."""

    function: str
    """The served name: `checkout` or `checkout/refund`."""
    served: Served
    subpath: str
    """What follows the name; `/` at least."""
    version: str
    environment: Own | None = field(default=None, repr=False)
    """What the function sees of the environment as its own."""


@dataclass(frozen=True, slots=True)
class FunctionFile:
    """A file or folder that serves a function, or would if it weren't broken."""

    name: str
    path: Path
    version: str
    error: str | None
    """Why it can't be served, with file and line: for the log and the command line."""
    served: dict[str, Served]
    """By served name. An `app` beside a workflow of the file's name stands under `NAME/*`."""
    offer: Offer = field(default_factory=Offer, repr=False)
    environment: Own | None = field(default=None, repr=False, compare=False)
    """What it sees of the environment as its own."""
    enabled: bool = True
    """False: it isn't imported, and answers as if it weren't there."""

    def workflows(self) -> list[WorkflowDefinition]:
        """Those it offers, private ones too."""
        offer = self.offer
        offered = [offer.main, *offer.others.values(), *offer.private.values()]
        return [each for each in offered if isinstance(each, WorkflowDefinition)]


class Routes:
    """All names of one version of the folder."""

    __slots__ = (
        "_broken",
        "_choices",
        "_exact",
        "_mounts",
        "message_queues",
        "queues",
        "schedules",
        "versions",
        "workflow_versions",
        "workflows",
    )

    def __init__(self, files: Iterable[FunctionFile]) -> None:
        self._exact: dict[str, Target] = {}
        self._mounts: dict[str, Target] = {}
        self._broken: set[str] = set()
        self._choices: dict[str, str] = {}
        self.workflows: dict[str, WorkflowDefinition] = {}
        self.versions: dict[str, str] = {}
        for file in files:
            self._add(file)
        self.message_queues = consumed_queues(self.workflows)
        self.queues = declared_queues(self.workflows)
        self.schedules = schedules_of(self.workflows, self.versions)
        self.workflow_versions = {name: self.versions[name] for name in self.workflows}

    def resolve(self, path: str) -> Target:
        """What serves `path`. Raises FunctionMissing and FunctionBroken."""
        target = self._exact.get(path)
        if target is not None:
            return target
        head, _, rest = path.partition("/")
        if head in self._broken:
            raise FunctionBroken(f"the function {head} could not be loaded; the log says why")
        second, _, tail = rest.partition("/")
        below = f"{head}/{second}" if second else head
        if not tail and (target := self._exact.get(below)) is not None:
            return target  # nothing but a slash at the end
        mount = (self._mounts.get(below) if second and tail else None) or self._mounts.get(head)
        if mount is None:
            raise FunctionMissing(self._choices.get(head, "no function is served under this name"))
        leftover = path[len(mount.function) :]
        return Target(mount.function, mount.served, leftover, mount.version, mount.environment)

    def _add(self, file: FunctionFile) -> None:
        name, offer = file.name, file.offer
        if not file.enabled:
            return
        if file.error is not None:
            self._broken.add(name)
            return
        main: Served | None = offer.main if offer.main is not None else offer.app
        if main is not None:
            self._serve(name, main, file)
        if offer.app is not None:
            self._mounts[name] = Target(name, offer.app, "/", file.version, file.environment)
        for below, definition in offer.others.items():
            self._serve(f"{name}/{below}", definition, file)
        for below, workflow in offer.private.items():
            self.workflows[f"{name}/{below}"] = workflow
            self.versions[f"{name}/{below}"] = file.version
        if offer.is_ambiguous:
            choices = ", ".join(f"{name}/{below}" for below in offer.others)
            self._choices[name] = f"{name} serves several: call one of {choices}"

    def _serve(self, name: str, served: Served, file: FunctionFile) -> None:
        self._exact[name] = target = Target(name, served, "/", file.version, file.environment)
        self.versions[name] = file.version
        if isinstance(served, WorkflowDefinition):
            self.workflows[name] = served
            if not served.inputs.request_parameters:
                return
        self._mounts[name] = target


def list_served(name: str, offer: Offer) -> dict[str, Served]:
    """What `files()` shows of an offer."""
    served: dict[str, Served] = {}
    if offer.main is not None:
        served[name] = offer.main
    if offer.app is not None:
        served[f"{name}/*" if offer.main is not None else name] = offer.app
    return {**served, **{f"{name}/{below}": each for below, each in offer.others.items()}}
