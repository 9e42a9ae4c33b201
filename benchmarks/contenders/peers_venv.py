"""The peers' environments, made on demand under the harness's cache: none of their packages touch ours."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

CACHE = Path(__file__).parents[1] / ".cache"
PYTHON = CACHE / "peers" / "bin" / "python"
RESTATE = CACHE / "restate" / "node_modules" / ".bin" / "restate-server"
PACKAGES = (
    "dbos==3.4.0",
    "fastapi",
    "uvicorn==0.54.0",
    "uvloop",
    "httptools",
    "restate-sdk==1.3.0",
    "hypercorn",
)
RESTATE_PACKAGE = "@restatedev/restate-server@1.7.12"
_VERSIONS = "import importlib.metadata as m, sys; print(*(f'{n}={m.version(n)}' for n in sys.argv[1:]))"
_NAMED = ("dbos", "fastapi", "restate-sdk", "hypercorn")
_INSTALL_S = 600


def python_of_peers() -> str | None:
    """Make the environment if it isn't there; why it can't be had, or None."""
    if PYTHON.with_name("made").exists():
        return None
    try:
        if not PYTHON.exists():
            subprocess.run(
                [sys.executable, "-m", "venv", str(CACHE / "peers")], check=True, capture_output=True
            )
        command = [str(PYTHON), "-m", "pip", "install", "--quiet", "--disable-pip-version-check", *PACKAGES]
        subprocess.run(command, check=True, capture_output=True, timeout=_INSTALL_S)
    except (OSError, subprocess.SubprocessError) as error:
        return f"its environment can't be made: {_reason(error)}"
    PYTHON.with_name("made").touch()
    return None


def restate_server() -> str | None:
    """Install Restate's server if it isn't there; why it can't be had, or None."""
    if RESTATE.exists():
        return None
    folder = CACHE / "restate"
    folder.mkdir(parents=True, exist_ok=True)
    try:
        command = ["npm", "install", "--silent", "--prefix", str(folder), RESTATE_PACKAGE]
        subprocess.run(command, check=True, capture_output=True, timeout=_INSTALL_S)
    except (OSError, subprocess.SubprocessError) as error:
        return f"npm could not install its server: {_reason(error)}"
    return None if RESTATE.exists() else "npm did not install its server"


def versions() -> dict[str, str]:
    """What is installed, by name."""
    found = {}
    if PYTHON.exists():
        command = [str(PYTHON), "-c", _VERSIONS, *_NAMED]
        done = subprocess.run(command, capture_output=True, text=True, check=False)
        found = dict(each.split("=") for each in done.stdout.split())
    if RESTATE.exists():
        found["restate-server"] = RESTATE_PACKAGE.rpartition("@")[2]
    return found


def _reason(error: Exception) -> str:
    if isinstance(error, subprocess.CalledProcessError) and error.stderr:
        return str(error.stderr.decode(errors="replace").strip().splitlines()[-1])
    return str(error)
