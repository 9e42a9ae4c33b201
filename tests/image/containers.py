"""A process in the image's root filesystem, as strict as Kubernetes can be: read-only, no capabilities."""

from __future__ import annotations

import os
import signal
import subprocess
from pathlib import Path
from typing import Any

from tests.hosts import LIMIT_S, Host

ENTER = """
root=$1; shift
mount --make-rprivate /
mount --bind "$root" "$root"
mount -t proc proc "$root/proc"
mount --rbind /dev "$root/dev"
mount -t tmpfs -o mode=1777,size=16m tmpfs "$root/tmp"
mount -o remount,bind,ro "$root"
exec chroot "$root" "$@"
"""


class Container:
    """Runs what the image says it runs."""

    def __init__(self, root: Path, config: dict[str, Any]) -> None:
        self._root = root
        self.config = config

    def command(self, *arguments: str) -> list[str]:
        """How to run `arguments`, which become the first process of their namespace."""
        user, group = self.config["User"].split(":")
        drop = [
            "/usr/bin/setpriv", f"--reuid={user}", f"--regid={group}", "--clear-groups", "--no-new-privs",
            "--inh-caps=-all", "--bounding-set=-all", "--",
        ]  # fmt: skip
        inside = ["/usr/bin/env", f"--chdir={self.config['WorkingDir']}", *arguments]
        unshared = ["unshare", "--mount", "--pid", "--fork", "--kill-child"]
        return [*unshared, "sh", "-ec", ENTER, "enter", str(self._root), *drop, *inside]

    def env(self, **settings: str) -> dict[str, str]:
        """The image's environment, and `settings`."""
        return dict(each.split("=", 1) for each in self.config["Env"]) | settings

    def run(self, *arguments: str, **settings: str) -> subprocess.CompletedProcess[str]:
        """Run a command to its end."""
        return subprocess.run(
            self.command(*arguments),
            env=self.env(**settings),
            cwd="/",
            capture_output=True,
            text=True,
            timeout=LIMIT_S,
        )

    def serve(self, log: Path, **settings: str) -> Served:
        """Start what the image starts by itself."""
        command = self.command(*self.config["Entrypoint"], *self.config["Cmd"])
        return Served(command, self.env(**settings), Path("/"), log)


class Served(Host):
    """A host in the image. Signals reach the host itself, which is the first process of its namespace."""

    def signal(self, number: int) -> None:
        os.kill(self._inner(), number)

    def kill(self) -> None:
        """SIGKILL, if it still runs, and wait until it is gone."""
        if self.process.poll() is None:
            self.signal(signal.SIGKILL)
        self.process.wait(LIMIT_S)

    def _inner(self) -> int:
        children = Path(f"/proc/{self.pid}/task/{self.pid}/children").read_text().split()
        return int(children[0])
