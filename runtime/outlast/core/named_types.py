"""Types by name: what a workflow records of a type, so that another process finds it."""

from __future__ import annotations

import builtins
import sys
from collections.abc import Mapping
from typing import Any

_MISSING = object()


def name_of_type(of: Any, scope: Mapping[str, Any]) -> str | None:
    """The name by which `find_type` finds `of` in `scope`, the globals of a file; None without one."""
    for name, value in scope.items():
        if value is of:
            return name
    qualname, module = getattr(of, "__qualname__", None), getattr(of, "__module__", None)
    if isinstance(of, type) and module == "builtins" and getattr(builtins, str(qualname), None) is of:
        return str(qualname)
    name = f"{module}:{qualname}"
    return name if _find(name, scope) is of else None


def find_type(name: str, scope: Mapping[str, Any]) -> Any:
    """The type of this name. Raises LookupError."""
    found = _find(name, scope)
    if found is _MISSING:
        raise LookupError(f"there is no {name} any more")
    return found


def _find(name: str, scope: Mapping[str, Any]) -> Any:
    module, _, qualname = name.rpartition(":")
    if not module:
        return scope.get(name, getattr(builtins, name, _MISSING))
    found: Any = sys.modules.get(module, _MISSING)
    for part in qualname.split("."):
        found = getattr(found, part, _MISSING)
    return found
