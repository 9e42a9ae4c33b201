"""The functions folder at one moment: which files it serves, and every module that they may import.

Modules are named by their path, whatever their version: `functions.checkout` is `checkout.py` or
`checkout/index.py`, `functions.checkout.helper` is `checkout/helper.py`, `functions._shared.db` is
`_shared/db.py`. Nothing outside the folder is read, not even through links.
"""

from __future__ import annotations

import hashlib
import os
import stat
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field, replace
from itertools import islice
from pathlib import Path

from outlast.core.errors import UsageError
from outlast.core.names import is_function_name
from outlast.functions.declared import NOTHING, Declarations

ROOT = "functions"
SOURCE_BYTES_MAX = 4 * 1024 * 1024
DATA_BYTES_MAX = 1024 * 1024
"""Data files up to this size are compared by content, larger ones only by size."""
DEPTH_MAX = 32
FILES_MAX = 20_000
_SKIPPED = frozenset({"__pycache__", "node_modules"})

Signature = tuple[int, int, int, int]


@dataclass(frozen=True, slots=True)
class Source:
    """A module that can be imported: its text and its path."""

    name: str
    path: Path
    package: bool
    text: bytes
    digest: str
    unit: str
    """The top-level file or folder that it belongs to."""
    seal: str = ""
    """Changes when this module must be imported again for a reason within its unit."""


@dataclass(slots=True)
class Unit:
    """A top-level file or folder: a function, or modules that functions share."""

    name: str
    path: Path
    sources: dict[str, Source] = field(default_factory=dict)
    refused: dict[str, str] = field(default_factory=dict)
    """Modules that exist but can't be read, with the reason."""
    digest: str = ""


@dataclass(slots=True)
class Folder:
    """The content of the folder."""

    root: Path
    functions: dict[str, Unit] = field(default_factory=dict)
    sources: dict[str, Source] = field(default_factory=dict)
    refused: dict[str, str] = field(default_factory=dict)
    misnamed: dict[str, str] = field(default_factory=dict)
    """Files that look like functions but can't be served, with the remedy."""
    declarations: Declarations = NOTHING
    stamp: str = ""
    """Changes when anything above changes."""


def scan(root: Path) -> list[os.DirEntry[str]]:
    """The top-level entries of a functions folder, by name. Raises UsageError if it can't be read."""
    try:
        with os.scandir(root) as entries:
            return sorted(entries, key=lambda entry: entry.name)
    except OSError as error:
        raise UsageError(
            f"the functions folder {root} can't be read ({error.strerror}); "
            "create it, or name another with --functions; `outlast new hello` makes it, with a function"
        ) from error


class Reader:
    """Reads the folder repeatedly, and files only when they have changed."""

    def __init__(self, root: Path) -> None:
        self._root = root
        self._known: dict[Path, tuple[Signature, bytes, str]] = {}
        self._seen: dict[Path, tuple[Signature, bytes, str]] = {}

    def read(self, changed: set[Path] | None, declarations: Declarations = NOTHING) -> Folder:
        """The folder now, served as `declarations` say.

        A file is read again if it is among `changed` or looks changed; if `changed` is None, all are. Raises
        UsageError if the folder can't be read.
        """
        if changed is None:
            self._known = {}
        for path in changed or ():
            self._known.pop(path, None)
        self._seen = {}
        folder = Folder(self._root, declarations=declarations)
        shared: list[Unit] = []
        self._enter(folder)
        entered = frozenset(folder.functions)
        for entry in scan(self._root):
            unit = self._find_unit(entry, folder)
            if unit is None or unit.name in entered:
                continue
            if unit.name.startswith("_"):
                shared.append(unit)
            elif unit.name in folder.functions:
                folder.functions[unit.name] = self._refuse_both(unit.name, folder.functions[unit.name], unit)
            else:
                folder.functions[unit.name] = unit
        for name, declared in declarations.functions.items():
            if declared.fault is not None and name in folder.functions:
                folder.functions[name] = self._make_refused_unit(name, declared.fault)
        for unit in (*shared, *folder.functions.values()):
            folder.sources.update(unit.sources)
            folder.refused.update(unit.refused)
        folder.stamp = _digest(
            [
                *(f"{unit.name}\0{unit.digest}" for unit in (*shared, *folder.functions.values())),
                *folder.misnamed,
            ]
        )
        self._known = self._seen
        return folder

    def _find_unit(self, entry: os.DirEntry[str], folder: Folder) -> Unit | None:
        """The top-level unit of this name; None if it isn't one."""
        if entry.name.startswith((".", "__")) or entry.name in _SKIPPED:
            return None
        path = Path(entry.path)
        is_file = path.suffix == ".py"
        name = path.stem if is_file else path.name
        if not is_file and not (_is_folder(path) and (name.startswith("_") or _is_there(path / "index.py"))):
            if _is_folder(path) and self._has_python_alone(path, folder):
                folder.misnamed[self._show(path)] = _NO_INDEX
            return None
        if not name.startswith("_") and not is_function_name(name):
            folder.misnamed[self._show(path)] = _explain_name(name)
            return None
        unit = Unit(name, path)
        refused = self._why_refused(path)
        if refused is not None:
            unit.refused[f"{ROOT}.{name}"] = refused
        elif is_file:
            self._add_file(unit, f"{ROOT}.{name}", path, package=False)
        else:
            self._add_folder(unit)
        _seal(unit)
        return unit

    def _has_python_alone(self, path: Path, folder: Folder) -> bool:
        """Whether somebody may take it for a function: it is no Edge Function, and no entrypoint's."""
        entered = (unit.path for unit in folder.functions.values())
        return any(path.glob("*.py")) and not any(path.glob("index.*")) and path not in entered

    def _enter(self, folder: Folder) -> None:
        """Add functions that are declared to be in another file than `NAME.py` or `NAME/index.py`."""
        said = folder.declarations
        for name, declared in said.functions.items():
            if declared.entrypoint is None:
                continue
            if not is_function_name(name):
                folder.misnamed[f"[functions.{name}] of {said.source}"] = _explain_name(name)
                continue
            path, refused = self._entry(declared.entrypoint, said)
            if refused is not None:
                told = f"{said.source}: functions.{name}.entrypoint={declared.entrypoint}: {refused}"
                folder.functions[name] = self._make_refused_unit(name, told)
                continue
            unit = folder.functions[name] = Unit(name, path)
            if path.parent == self._root:
                self._add_file(unit, f"{ROOT}.{name}", path, package=False)
            else:
                unit.path = path.parent
                self._add_folder(unit, path)
            _seal(unit)

    def _entry(self, written: str, said: Declarations) -> tuple[Path, str | None]:
        """The file of an entrypoint, and why it can't be served, if it can't.

        Entrypoints are relative to `supabase/`, as for the Supabase CLI, or to the project's folder.
        """
        above = said.where.resolve()
        near = [Path(os.path.normpath(folder / written)) for folder in (above, above.parent)]
        within = [each for each in near if each.parent.resolve().is_relative_to(self._root)]
        if not within:
            return near[0], f"it lies outside the functions folder {self._root.name}; move it there"
        path = next((each for each in within if each.is_file()), within[0])
        path = path.parent.resolve() / path.name
        if not _is_there(path):
            return path, f"there is no file {self._show(path)}"
        return path, self._why_refused(path)

    def _make_refused_unit(self, name: str, reason: str) -> Unit:
        unit = Unit(name, self._root / f"{name}.py", digest=_digest([reason]))
        unit.refused[f"{ROOT}.{name}"] = reason
        return unit

    def _refuse_both(self, name: str, one: Unit, other: Unit) -> Unit:
        both = self._make_refused_unit(
            name, f"both {self._show(one.path)} and {self._show(other.path)} are there; keep one of them"
        )
        both.digest = _digest([one.digest, other.digest])
        return both

    def _add_file(self, unit: Unit, name: str, path: Path, *, package: bool) -> None:
        refused = self._why_refused(path)
        if refused is None:
            try:
                text, digest = self._content(path, SOURCE_BYTES_MAX, keep=True)
            except OSError as error:
                refused = f"{self._show(path)} can't be read: {error.strerror or error}"
            else:
                unit.sources[name] = Source(name, path, package, text, digest, unit.name)
        if refused is not None:
            unit.refused[name] = refused

    def _add_folder(self, unit: Unit, entry: Path | None = None) -> None:
        """All files of a folder: modules by their names; data files count only for the digest.

        `entry`: the file that serves the function, if it isn't `index.py`.
        """
        top = f"{ROOT}.{unit.name}"
        is_function = not unit.name.startswith("_")
        data: list[str] = []
        plain: list[tuple[str, Path]] = []
        files = list(islice(self._walk(unit.path), FILES_MAX + 1))
        if len(files) > FILES_MAX:
            unit.refused[top] = f"{self._show(unit.path)} holds more than {FILES_MAX} files"
            return
        for relative, path in files:
            stem = [*relative[:-1], Path(relative[-1]).stem]
            if entry is not None and path == entry:
                self._add_file(unit, top, path, package=True)
            elif not relative[-1].endswith(".py") or not all(part.isidentifier() for part in stem):
                data.append(self._data(relative, path))
            elif is_function and stem == ["index"] and entry is None:
                self._add_file(unit, top, path, package=True)
            elif is_function and stem == ["__init__"]:
                data.append(self._data(relative, path))
            elif stem[-1] == "__init__":
                self._add_file(unit, ".".join([top, *stem[:-1]]), path, package=True)
            else:
                plain.append((".".join([top, *stem]), path))
        for name, path in plain:  # a package precedes a module of the same name, as in Python
            if name not in unit.sources:
                self._add_file(unit, name, path, package=False)
        for name, _ in plain:
            self._add_namespaces(unit, name, top)
        if not is_function and top not in unit.sources and top not in unit.refused:
            unit.sources[top] = _namespace(top, unit.path, unit.name)
        unit.digest = _digest(data)

    def _add_namespaces(self, unit: Unit, name: str, top: str) -> None:
        parts = name.removeprefix(top).split(".")[1:-1]
        for depth in range(1, len(parts) + 1):
            package = ".".join([top, *parts[:depth]])
            if package not in unit.sources and package not in unit.refused:
                unit.sources[package] = _namespace(package, unit.path.joinpath(*parts[:depth]), unit.name)

    def _walk(self, top: Path) -> Iterator[tuple[tuple[str, ...], Path]]:
        """Every file under `top` with its parts relative to it, links within the folder followed."""
        waiting: list[tuple[tuple[str, ...], Path, frozenset[Path]]] = [((), top, frozenset())]
        while waiting:
            relative, folder, above = waiting.pop()
            real = folder.resolve()
            if real in above or len(relative) > DEPTH_MAX:
                continue
            try:
                entries = sorted(folder.iterdir())
            except OSError:
                continue
            for path in entries:
                if path.name.startswith(".") or path.name in _SKIPPED:
                    continue
                if not _is_folder(path):
                    yield (*relative, path.name), path
                elif self._why_refused(path) is None:
                    waiting.append(((*relative, path.name), path, above | {real}))

    def _data(self, relative: tuple[str, ...], path: Path) -> str:
        name = "/".join(relative)
        if self._why_refused(path) is not None:
            return name
        try:
            return f"{name}\0{self._content(path, DATA_BYTES_MAX, keep=False)[1]}"
        except OSError:
            try:
                return f"{name}\0{path.stat().st_size}"
            except OSError:
                return name

    def _why_refused(self, path: Path) -> str | None:
        """Why `path` must not be read, in words; None if it may be."""
        try:
            real = path.resolve(strict=True)
        except (OSError, RuntimeError):
            return f"{self._show(path)} is a link that leads nowhere"
        if not real.is_relative_to(self._root):
            return f"{self._show(path)} links out of the functions folder; copy the file into it"
        return None

    def _content(self, path: Path, bytes_max: int, *, keep: bool) -> tuple[bytes, str]:
        """The file's bytes (if they are kept) and digest.

        Raises OSError if it isn't a plain file, or is too large.
        """
        status = path.stat()
        if not stat.S_ISREG(status.st_mode):
            raise OSError("it is no plain file")
        if status.st_size > bytes_max:
            raise OSError(f"it is larger than {bytes_max} bytes")
        signature = (status.st_mtime_ns, status.st_size, status.st_ino, status.st_dev)
        known = self._known.get(path)
        if known is None or known[0] != signature:
            text = path.read_bytes()
            known = (signature, text if keep else b"", hashlib.sha256(text).hexdigest())
        self._seen[path] = known
        return known[1], known[2]

    def _show(self, path: Path) -> str:
        return show_path(self._root, path)


def show_path(root: Path, path: Path) -> str:
    """`path` as people know it: `functions/checkout.py`."""
    return printable((Path(root.name) / path.relative_to(root)).as_posix())


def printable(text: str) -> str:
    """`text` without characters that a log can't write.

    File names and messages may have bytes that aren't UTF-8.
    """
    return text.encode("utf-8", "backslashreplace").decode()


_NO_INDEX = (
    "it has no index.py, the file that answers under a folder's name; rename the file that is meant, or "
    "begin the folder's name with _ if it isn't a function"
)


def _explain_name(name: str) -> str:
    return (
        f"{name!r} can't be a function's name: use a letter, then letters, digits, _ and -, "
        "or begin it with _ if it isn't a function"
    )


def _is_folder(path: Path) -> bool:
    try:
        return path.is_dir()
    except OSError:  # a file that can't be examined isn't served
        return False


def _is_there(path: Path) -> bool:
    try:
        return path.is_symlink() or path.exists()
    except OSError:
        return False


def _namespace(name: str, path: Path, unit: str) -> Source:
    return Source(name, path, True, b"", hashlib.sha256().hexdigest(), unit)


def _seal(unit: Unit) -> None:
    """A function's folder is imported again as a whole; a shared module by itself."""
    data = unit.digest
    unit.digest = _digest(
        [
            data,
            *(f"{name}\0{source.digest}" for name, source in sorted(unit.sources.items())),
            *unit.refused.values(),
        ]
    )
    for name, source in unit.sources.items():
        seal = _digest([data, source.digest]) if unit.name.startswith("_") else unit.digest
        unit.sources[name] = replace(source, seal=seal)


def _digest(parts: Iterable[str]) -> str:
    digest = hashlib.sha256()
    for part in parts:
        encoded = part.encode("utf-8", "surrogateescape")
        digest.update(b"%d:" % len(encoded))
        digest.update(encoded)
    return digest.hexdigest()
