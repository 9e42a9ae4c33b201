"""The image, built from the unchanged Dockerfile by buildah, without an engine, over a base of Debian's."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
from pathlib import Path
from typing import Any

PROJECT = Path(__file__).parents[2]
BASE = PROJECT / "build/image/base.tar"
STAND_IN = "localhost/python:3.13-slim"
BUILD_S = 600.0
CERTIFICATES = Path("/etc/ssl/certs/ca-certificates.crt")

SECRETS = (
    "supabase/signing_keys.json", "supabase/.env", "functions/.env", "functions/.env.production",
    "functions/hello/.env", "functions/server.key", "functions/server.pem", "functions/_shared/id.p12",
    ".env", ".outlast/secret-key",
)  # fmt: skip
"""Files that a project may hold and no image may."""
MARK = "never-to-be-shipped"


def missing() -> str | None:
    """Why no image can be built here; None where it can."""
    if os.geteuid() != 0:
        return "only root builds the image"
    if shutil.which("buildah") is None or not BASE.exists():
        return "tests/image/setup has not been run, or could not install what it needs"
    return None


class Builder:
    """One image in a storage of its own under `folder`, all of which goes with the folder."""

    def __init__(self, folder: Path) -> None:
        self._buildah = [
            "buildah", "--root", str(folder / "storage"), "--runroot", str(folder / "run"),
            "--storage-driver", "vfs",
        ]  # fmt: skip
        self._context = folder / "context"

    def build(self) -> None:
        """Build the image, of a copy of this project that has secrets lying about."""
        self._stand_in()
        files = _run("git", "-C", str(PROJECT), "ls-files", "--cached", "--others", "--exclude-standard")
        for name in [each for each in files.splitlines() if (PROJECT / each).is_file()]:
            (self._context / name).parent.mkdir(parents=True, exist_ok=True)
            shutil.copy(PROJECT / name, self._context / name)
        for name in SECRETS:
            (self._context / name).parent.mkdir(parents=True, exist_ok=True)
            (self._context / name).write_text(MARK)
        self._run(
            "bud", "--isolation", "chroot", "--format", "docker", "--pull-never", "--layers=false",
            "--build-arg", f"PYTHON_IMAGE={STAND_IN}", "--tag", "outlast:local", str(self._context),
        )  # fmt: skip

    def config(self) -> dict[str, Any]:
        """What the image says of itself, as Docker has it."""
        config: dict[str, Any] = json.loads(self._run("inspect", "--type", "image", "outlast:local"))
        return config["Docker"]["config"]

    def mount(self) -> Path:
        """The image's root filesystem."""
        container = self._run("from", "--pull-never", "outlast:local").strip()
        return Path(self._run("mount", container).strip())

    def close(self) -> None:
        """Unmount and forget all."""
        self._run("rm", "--all")
        self._run("rmi", "--all", "--force")

    def _stand_in(self) -> None:
        """Debian's Python under the name of the official image, which no registry brings here."""
        container = self._run("from", "scratch").strip()
        self._run("add", "--quiet", container, str(BASE), "/")
        root = Path(self._run("mount", container).strip())
        (root / "usr/bin/python").symlink_to("python3")
        for refusal in root.glob("usr/lib/python3*/EXTERNALLY-MANAGED"):
            refusal.unlink()
        if (
            CERTIFICATES.exists()
        ):  # the package index may be behind a certificate that only this machine knows
            shutil.copy(CERTIFICATES, root / CERTIFICATES.relative_to("/"))
        self._run("umount", container)
        self._run("commit", "--quiet", "--rm", container, STAND_IN)

    def _run(self, *arguments: str) -> str:
        return _run(*self._buildah, *arguments)


def _run(*command: str) -> str:
    done = subprocess.run(command, capture_output=True, text=True, timeout=BUILD_S)
    assert done.returncode == 0, f"{' '.join(command)}\n{done.stdout[-4000:]}\n{done.stderr[-4000:]}"
    return done.stdout
