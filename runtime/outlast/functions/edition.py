"""One version of the whole folder: its modules, imported where functions need them, and what they serve."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from hashlib import sha256

from outlast.functions.blame import blame
from outlast.functions.folder import ROOT, Folder, Source, Unit, shown
from outlast.functions.imports import Outline, dependencies, outline_of
from outlast.functions.modules import Node, Shelf
from outlast.functions.routes import FunctionFile, Routes, served_by
from outlast.functions.serving import NothingServed, offer_of

VERSION_CHARS = 12


@dataclass(frozen=True, slots=True)
class Edition:
    """Immutable once made; a reload puts another in its place."""

    number: int
    nodes: Mapping[str, Node] = field(default_factory=dict)
    files: Mapping[str, FunctionFile] = field(default_factory=dict)
    misnamed: Mapping[str, str] = field(default_factory=dict)
    stamp: str = ""
    routes: Routes = field(default_factory=lambda: Routes(()))


def make_edition(folder: Folder, former: Edition, shelf: Shelf) -> Edition:
    """Import what changed since `former`; modules that didn't change, nor anything they import, are kept."""
    nodes = _nodes(folder, former.nodes, shelf)
    shelf.replace(nodes)
    files = {name: _file(folder, unit, nodes) for name, unit in sorted(folder.functions.items())}
    for node in nodes.values():
        node.forget_failure()
    return Edition(former.number + 1, nodes, files, folder.misnamed, folder.stamp, Routes(files.values()))


def _nodes(folder: Folder, former: Mapping[str, Node], shelf: Shelf) -> dict[str, Node]:
    known = frozenset((*folder.sources, *folder.refused))
    outlines = {name: _outline(source, former.get(name)) for name, source in folder.sources.items()}
    needed = {name: dependencies(source, outlines[name], known) for name, source in folder.sources.items()}
    nodes: dict[str, Node] = {}
    made: list[Node] = []
    for name, source in folder.sources.items():
        reached = _reach(name, needed)
        fingerprint = _fingerprint(reached, folder)
        kept = former.get(name)
        if kept is None or kept.fingerprint != fingerprint or _any_failed(reached, former):
            kept = Node(source, outlines[name], fingerprint, known, folder.refused, shelf)
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
    """`name` and all that it may import, at any remove."""
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


def _any_failed(reached: set[str], former: Mapping[str, Node]) -> bool:
    """What failed may have failed for a reason outside the folder: it is tried again."""
    return any(name in former and former[name].failed for name in reached)


def _file(folder: Folder, unit: Unit, nodes: Mapping[str, Node]) -> FunctionFile:
    name = f"{ROOT}.{unit.name}"
    node = nodes.get(name)
    if node is None:
        return FunctionFile(
            unit.name, unit.path, unit.digest[:VERSION_CHARS], unit.refused.get(name, "unreadable"), {}
        )
    path, version = node.source.path, node.fingerprint[:VERSION_CHARS]
    try:
        offer = offer_of(unit.name, node.load())
    except KeyboardInterrupt:
        raise
    except NothingServed as error:
        return FunctionFile(unit.name, path, version, f"{shown(folder.root, path)}: {error}", {})
    except BaseException as error:  # noqa: BLE001 - a file breaks for itself alone, even by sys.exit()
        return FunctionFile(unit.name, path, version, blame(error, folder.root, path, folder.sources), {})
    return FunctionFile(unit.name, path, version, None, served_by(unit.name, offer), offer)
