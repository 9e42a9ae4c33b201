"""From a path to what serves it: tables made once for a version of the folder, read for every request."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from hashlib import sha256
from pathlib import Path

from outlast.core.errors import OutlastError
from outlast.functions.options import consumed_queues, declared_queues, schedules_of
from outlast.functions.serving import Offer, Served
from outlast.sdk.definitions import WorkflowDefinition
from outlast.sdk.environment import Own


class FunctionMissing(OutlastError):
    """No function is served under this path. Callers are told its text, as that of the next one."""

    code = "NOT_FOUND"


class FunctionBroken(OutlastError):
    """The function's file can't be imported, or offers nothing to serve. The log has file and line."""

    code = "BOOT_ERROR"


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
    served_as: str = ""
    """The name at which it serves: its own, but for the file of a version."""

    def __post_init__(self) -> None:
        object.__setattr__(self, "served_as", self.served_as or self.name)

    def workflows(self) -> list[WorkflowDefinition]:
        """Those it offers, private ones too."""
        offer = self.offer
        offered = [offer.main, *offer.others.values(), *offer.private.values()]
        offered += [each for _, each in offer.older]
        return [each for each in offered if isinstance(each, WorkflowDefinition)]

    def named_workflows(self) -> Iterator[tuple[str, WorkflowDefinition]]:
        """Those with the name of each as it is served, lower versions too."""
        offer, name = self.offer, self.served_as
        if isinstance(offer.main, WorkflowDefinition):
            yield name, offer.main
        for below, each in (*offer.others.items(), *offer.private.items()):
            if isinstance(each, WorkflowDefinition):
                yield f"{name}/{below}", each
        for of, each in offer.older:
            yield (f"{name}/{of}" if of in offer.others or of in offer.private else name), each


class Routes:
    """All names of one version of the folder."""

    __slots__ = (
        "_broken",
        "_choices",
        "_exact",
        "_mounts",
        "declared",
        "message_queues",
        "numbered",
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
        """The newest of each, former names too."""
        self.versions: dict[str, str] = {}
        """Of the code of each name: of its file, or of all that have a version of it."""
        self.numbered: dict[str, Mapping[int, WorkflowDefinition]] = {}
        """Of functions that declare versions all that are there."""
        coded: _Coded = {}
        for file in files:
            self._add(file, coded)
        self.declared = dict(self.workflows)
        """The newest of each, under their names of today."""
        self._number(coded)
        self._rename()
        self.message_queues = consumed_queues(self.declared)
        self.queues = declared_queues(self.declared)
        self.schedules = schedules_of(self.declared, self.versions)
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
        mount, name = (self._mounts.get(below) if second and tail else None), below
        if mount is None:
            mount, name = self._mounts.get(head), head
        if mount is None:
            raise FunctionMissing(self._choices.get(head, "no function is served under this name"))
        leftover = path[len(name) :]
        return Target(mount.function, mount.served, leftover, mount.version, mount.environment)

    def _add(self, file: FunctionFile, coded: _Coded) -> None:
        name, offer = file.served_as, file.offer
        if not file.enabled:
            return
        if file.error is not None:
            self._broken.add(file.name)
            return
        for served_as, workflow in file.named_workflows():
            coded.setdefault(served_as, {})[workflow.number] = workflow, file.version
        main: Served | None = offer.main if offer.main is not None else offer.app
        if main is not None:
            self._serve(name, main, file)
        if offer.app is not None:
            self._mounts[name] = Target(name, offer.app, "/", file.version, file.environment)
        for below, definition in offer.others.items():
            self._serve(f"{name}/{below}", definition, file)
        for below, workflow in offer.private.items():
            if not self._is_superseded(f"{name}/{below}", workflow):
                self.workflows[f"{name}/{below}"] = workflow
                self.versions[f"{name}/{below}"] = file.version
        if offer.is_ambiguous:
            choices = ", ".join(f"{name}/{below}" for below in offer.others)
            self._choices[name] = f"{name} serves several: call one of {choices}"

    def _is_superseded(self, name: str, workflow: WorkflowDefinition) -> bool:
        """Whether a higher version of it is there already."""
        # guard: new-calls-take-any-version = False
        return (other := self.workflows.get(name)) is not None and other.number > workflow.number

    def _number(self, coded: _Coded) -> None:
        """What has versions is found by them. Its code is another one when any of them is."""
        for name, codes in coded.items():
            if any(workflow.version is not None for workflow, _ in codes.values()):
                self.numbered[name] = {number: workflow for number, (workflow, _) in sorted(codes.items())}
                said = "\0".join(f"{number} {version}" for number, (_, version) in sorted(codes.items()))
                digest = sha256(said.encode()).hexdigest()
                self.versions[name] = digest[: len(self.versions[name])]

    def _rename(self) -> None:
        """What was called otherwise is found under its former names, too."""
        for name, workflow in self.declared.items():
            for alias in workflow.aliases:
                if alias in self.declared:
                    continue
                self.workflows[alias] = workflow
                self.versions[alias] = self.versions[name]
                if name in self.numbered:
                    self.numbered[alias] = self.numbered[name]
                for table in (self._exact, self._mounts):
                    if name in table and "/_" not in alias:
                        table[alias] = table[name]

    def _serve(self, name: str, served: Served, file: FunctionFile) -> None:
        if isinstance(served, WorkflowDefinition):
            if self._is_superseded(name, served):
                return
            self._mounts.pop(name, None)  # of a lower version
        self._exact[name] = target = Target(name, served, "/", file.version, file.environment)
        self.versions[name] = file.version
        if isinstance(served, WorkflowDefinition):
            self.workflows[name] = served
            if not served.inputs.request_parameters:
                return
        self._mounts[name] = target


_Coded = dict[str, dict[int, tuple[WorkflowDefinition, str]]]
"""By name and version what is there, and the version of its file."""


def list_served(name: str, offer: Offer) -> dict[str, Served]:
    """What `files()` shows of an offer."""
    served: dict[str, Served] = {}
    if offer.main is not None:
        served[name] = offer.main
    if offer.app is not None:
        served[f"{name}/*" if offer.main is not None else name] = offer.app
    return {**served, **{f"{name}/{below}": each for below, each in offer.others.items()}}
