"""`python -m outlast.testing.again`: replays a history in another process, with other hashes.

It reads a document from its input and writes one; `replay_elsewhere` calls it.
"""

from __future__ import annotations

import importlib
import importlib.util
import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

from outlast.core.records import NewWorkflow, StepRecord
from outlast.core.status import Status
from outlast.sdk.definitions import WorkflowDefinition
from outlast.sdk.workflows import Workflow
from outlast.testing.replaying import Divergence, History, replay_history
from outlast.testing.seen import CallSeen

PATIENCE_S = 60.0


class NotFoundAgain(Exception):
    """A workflow can't be found in another process, because its function isn't at the top of a module."""


def replay_elsewhere(
    history: History, definitions: dict[str, WorkflowDefinition], hash_seed: int
) -> Divergence | None:
    """Return what differs in a replay by a process with that hash seed. Raises NotFoundAgain."""
    homes = {}
    for name, definition in definitions.items():
        if "<locals>" in definition.fn.__qualname__:
            raise NotFoundAgain(f"{definition.fn.__qualname__} is defined within a function")
        homes[name] = (
            definition.fn.__module__,
            definition.fn.__code__.co_filename,
            definition.fn.__qualname__,
        )
    document = {"path": sys.path, "homes": homes, "history": _encode(history)}
    done = subprocess.run(
        [sys.executable, "-m", "outlast.testing.again"],
        input=json.dumps(document),
        env={**os.environ, "PYTHONHASHSEED": str(hash_seed)},
        capture_output=True,
        text=True,
        timeout=PATIENCE_S,
        check=False,
    )
    if done.returncode != 0:
        raise NotFoundAgain(done.stderr.strip().rpartition("\n")[2])
    found = json.loads(done.stdout.rpartition("\n")[2])
    if found is None:
        return None
    return Divergence(found["text"], tuple(found["place"]) if found["place"] else None)


def _encode(history: History) -> dict[str, Any]:
    return {
        "workflows": [[list(new), *rest] for new, *rest in history.workflows],
        "records": [[workflow_id, list(step)] for workflow_id, step in history.records],
        "calls": {each: [list(call) for call in calls] for each, calls in history.calls.items()},
        "keys": history.keys,
    }


def _read_history(document: dict[str, Any]) -> History:
    return History(
        [
            (NewWorkflow(*new), began_s, Status(status), output, error, born)
            for new, began_s, status, output, error, born in document["workflows"]
        ],
        [(workflow_id, StepRecord(*step)) for workflow_id, step in document["records"]],
        {each: [_read_call(call) for call in calls] for each, calls in document["calls"].items()},
        document["keys"],
    )


def _read_call(document: list[Any]) -> CallSeen:
    step_id, kind, name, arguments, (file, line), refused = document
    return CallSeen(step_id, kind, name, arguments, (file, line), refused)


def _find_workflow(module: str, file: str, name: str) -> WorkflowDefinition:
    """Return the workflow of that name. Its module is imported, or read from its file."""
    try:
        found: Any = importlib.import_module(module)
        if Path(getattr(found, "__file__", "")).resolve() != Path(file).resolve():
            raise ImportError(module)
    except ImportError:
        spec = importlib.util.spec_from_file_location(module, file)
        if spec is None or spec.loader is None:
            raise
        found = importlib.util.module_from_spec(spec)
        sys.modules[module] = found
        spec.loader.exec_module(found)
    for part in name.split("."):
        found = getattr(found, part)
    if not isinstance(found, Workflow):
        raise ImportError(f"{name} of {file} is no workflow")
    return found.definition


def main() -> None:
    """Replay the history from the input; write the difference as the last line."""
    document = json.loads(sys.stdin.read())
    sys.path[:] = document["path"]
    definitions = {name: _find_workflow(*home) for name, home in document["homes"].items()}
    found = replay_history(_read_history(document["history"]), definitions, [])
    answer = None if found is None else {"text": found.text, "place": found.place}
    sys.stdout.write("\n" + json.dumps(answer))
    sys.stdout.flush()
    os._exit(0)  # nothing needs an orderly end


if __name__ == "__main__":
    main()
