"""One version of the whole folder: its modules, imported as functions need them, and what they serve."""

from __future__ import annotations

import traceback
from collections.abc import Collection, Mapping
from dataclasses import dataclass, field
from hashlib import sha256
from pathlib import Path

from outlast.core.tracebacks import text_of
from outlast.functions.declared import NOTHING, Declarations, Declared
from outlast.functions.folder import ROOT, Folder, Source, Unit, printable, show_path
from outlast.functions.imports import Outline, dependencies, outline_of
from outlast.functions.modules import Node, Shelf
from outlast.functions.refusals import refuse_bad_schedules, refuse_conflicting_queues
from outlast.functions.remedies import remedy_of
from outlast.functions.routes import FunctionFile, Routes, list_served
from outlast.functions.serving import NothingServed, home_of, offer_of
from outlast.functions.versions import hide_superseded, place_versions, refuse_clashes
from outlast.sdk.environment import Own

VERSION_CHARS = 12


@dataclass(frozen=True, slots=True)
class Edition:
    """Immutable once it is made. A reload replaces it."""

    number: int
    nodes: Mapping[str, Node] = field(default_factory=dict)
    files: Mapping[str, FunctionFile] = field(default_factory=dict)
    misnamed: Mapping[str, str] = field(default_factory=dict)
    stamp: str = ""
    declarations: Declarations = NOTHING
    owns: Mapping[str, Own] = field(default_factory=dict, repr=False)
    """The own environments of functions, by name."""
    routes: Routes = field(default_factory=lambda: Routes(()))


def make_edition(folder: Folder, former: Edition, shelf: Shelf) -> Edition:
    """Import what changed since `former`.

    A module is kept if neither it nor anything that it imports has changed.
    """
    owns = _owns(folder.declarations, former)
    nodes = _nodes(folder, former.nodes, owns, shelf)
    shelf.replace(nodes)
    units = sorted(folder.functions.items())
    found = place_versions(_file(folder, unit, nodes, owns) for _, unit in units)
    files = refuse_conflicting_queues(refuse_clashes(found, folder.root), folder.root)
    files = hide_superseded(refuse_bad_schedules(files, folder.root))
    for node in nodes.values():
        node.forget_failure()
    routes = Routes(files.values())
    number = former.number + 1
    return Edition(number, nodes, files, folder.misnamed, folder.stamp, folder.declarations, owns, routes)


def _owns(said: Declarations, former: Edition) -> dict[str, Own]:
    """The declared environments. What a function wrote into its own is kept until the declaration changes."""
    before = former.declarations.functions
    return {
        name: former.owns[name]
        if name in former.owns and before[name].environment == declared.environment
        else dict(declared.environment)
        for name, declared in said.functions.items()
        if declared.environment
    }


def _nodes(
    folder: Folder, former: Mapping[str, Node], owns: Mapping[str, Own], shelf: Shelf
) -> dict[str, Node]:
    known = frozenset((*folder.sources, *folder.refused))
    outlines = {name: _outline(source, former.get(name)) for name, source in folder.sources.items()}
    needed = {name: dependencies(source, outlines[name], known) for name, source in folder.sources.items()}
    nodes: dict[str, Node] = {}
    made: list[Node] = []
    for name, source in folder.sources.items():
        reached = _reach(name, needed)
        fingerprint = _fingerprint(reached, folder)
        surroundings = _surroundings(reached, folder)
        kept = former.get(name)
        if (
            kept is None
            or (kept.fingerprint, kept.surroundings) != (fingerprint, surroundings)
            or _any_failed(reached, former)
        ):
            own = owns.get(source.unit)
            kept = Node(source, outlines[name], fingerprint, known, folder.refused, shelf, surroundings, own)
            made.append(kept)
        nodes[name] = kept
    for node in made:
        node.needs = {name: nodes[name] for name in needed[node.source.name] if name in nodes}
    return nodes


def _outline(source: Source, former: Node | None) -> Outline:
    if former is not None and (former.source.path, former.source.digest) == (source.path, source.digest):
        return former.outline
    return outline_of(source)


def _reach(name: str, needed: Mapping[str, set[str]]) -> set[str]:
    """`name`, and everything that it may import, directly or indirectly."""
    reached = {name}
    waiting = [name]
    while waiting:
        for each in needed.get(waiting.pop(), ()):
            if each not in reached:
                reached.add(each)
                waiting.append(each)
    return reached


def _fingerprint(reached: set[str], folder: Folder) -> str:
    digest = sha256()
    for name in sorted(reached):
        source = folder.sources.get(name)
        digest.update(f"{name}\0{source.seal if source else folder.refused.get(name)}\0".encode())
    return digest.hexdigest()


def _surroundings(reached: set[str], folder: Folder) -> object:
    """The environment that the modules see while they are imported.

    It is no part of the version, because it is secret.
    """
    said = folder.declarations
    units = {folder.sources[name].unit for name in reached if name in folder.sources}
    return said.common, {unit: said.functions[unit].environment for unit in units & said.functions.keys()}


def _any_failed(reached: set[str], former: Mapping[str, Node]) -> bool:
    """Whether a module failed before. The reason may be outside the folder, so it is tried again."""
    return any(name in former and former[name].failed for name in reached)


def _file(folder: Folder, unit: Unit, nodes: Mapping[str, Node], owns: Mapping[str, Own]) -> FunctionFile:
    name = f"{ROOT}.{unit.name}"
    node = nodes.get(name)
    if node is None:
        path, version = unit.path, unit.digest[:VERSION_CHARS]
    else:
        path, version = node.source.path, node.fingerprint[:VERSION_CHARS]
    if not folder.declarations.functions.get(unit.name, Declared()).enabled:
        return FunctionFile(unit.name, path, version, None, {}, enabled=False)
    if node is None:
        return FunctionFile(unit.name, path, version, unit.refused.get(name, "unreadable"), {})
    try:
        offer = offer_of(unit.name, node.load())
    except KeyboardInterrupt:
        raise
    except NothingServed as error:
        return FunctionFile(unit.name, path, version, f"{show_path(folder.root, path)}: {error}", {})
    except BaseException as error:  # noqa: BLE001 - a file breaks only itself, even with sys.exit()
        return FunctionFile(unit.name, path, version, blame(error, folder.root, path, folder.sources), {})
    own = owns.get(unit.name)
    name = home_of(unit.name) if offer.has_versions else unit.name
    served = list_served(name, offer)
    return FunctionFile(unit.name, path, version, None, served, offer, own, served_as=name)


TEXT_CHARS_MAX = 500


def blame(error: BaseException, root: Path, entry: Path, known: Collection[str]) -> str:
    """The place in the functions folder that is nearest to the fault, and the first line of the error.

    `known` are the folder's modules: a misspelled import of one of them gets the right spelling.
    """
    try:
        return _blame(error, root, entry, known)
    # guard: errors-of-files-end-the-host
    except Exception:  # noqa: BLE001 - what Python's own errors hold may be of any type
        return f"{show_path(root, entry)}: {type(error).__name__}"


def _blame(error: BaseException, root: Path, entry: Path, known: Collection[str]) -> str:
    places = _places(error, root)
    what, remedy = _describe(error), remedy_of(error, known)
    what += f"; {remedy}" if remedy else ""
    if not places:
        return f"{show_path(root, entry)}: {what}"
    path, line = places[-1]
    text = f"{show_path(root, path)}:{line}: {what}"
    own = [number for where, number in places if where == entry]
    return f"{text} (imported by {show_path(root, entry)}:{own[-1]})" if path != entry and own else text


def _places(error: BaseException, root: Path) -> list[tuple[Path, int]]:
    """The lines of the folder's files that led to the error; the last one is the nearest."""
    places = [
        (Path(frame.f_code.co_filename), line) for frame, line in traceback.walk_tb(error.__traceback__)
    ]
    if isinstance(error, SyntaxError) and error.filename:
        places.append((Path(error.filename), error.lineno or 1))
    return [(path, line) for path, line in places if path.is_relative_to(root)]


def _describe(error: BaseException) -> str:
    kind = type(error).__name__
    if isinstance(error, SystemExit):
        return f"it ends the program while being imported (SystemExit: {error.code!r})"[:TEXT_CHARS_MAX]
    text = (error.msg or "") if isinstance(error, SyntaxError) else text_of(error)
    lines = text.strip().splitlines()
    return printable(f"{kind}: {lines[0]}"[:TEXT_CHARS_MAX]) if lines else kind
