"""The hosts under torture: one slot for each, which gets a new process whenever it lost its last."""

from __future__ import annotations

import asyncio
import contextlib
import os
import re
import signal
import subprocess
import sys
import time
from pathlib import Path
from typing import Literal

from tests.hosts import SECRET

Way = Literal["direct", "proxy", "pooler"]

LEASE_S = 3.0
DB_CONNECTIONS = 4
FUNCTIONS = Path(__file__).parent / "functions"
_SERVING = re.compile(r"serving functions of .* at (http://[^/]+)/")
_OURS = ("OUTLAST_", "SUPABASE_", "PG", "PORT")
_READY_WITHIN_S = 30.0

SETTINGS = {
    "OUTLAST_LEASE_TTL_S": f"{LEASE_S:g}",
    "OUTLAST_MOMENT_S": "0.05",
    "OUTLAST_DRAIN_S": "2",
    "OUTLAST_SYNC_WAIT_S": "10",
    "OUTLAST_THREADS_MAX": "16",
    "OUTLAST_DB_CONNECTIONS": str(DB_CONNECTIONS),
    "OUTLAST_RECOVERY_BACKOFF_MAX_S": "2",
    # The weather must not make a workflow EXHAUSTED: each has to end.
    "OUTLAST_RECOVERY_ATTEMPTS_MAX": "1000",
    "OUTLAST_PUBLIC_URL": "http://any.test",
    "OUTLAST_LOG_FORMAT": "text",
}


def environment(package: Path | None) -> dict[str, str]:
    """What processes of the code under test run in: nobody's settings, and the package that is asked for."""
    env = {name: value for name, value in os.environ.items() if not name.startswith(_OURS)}
    if package is not None:
        env["PYTHONPATH"] = os.pathsep.join([str(package), *filter(None, [env.get("PYTHONPATH")])])
        env["PYTHONDONTWRITEBYTECODE"] = "1"
    return env


def imported_from(env: dict[str, str]) -> Path:
    """Which `outlast` the hosts will run."""
    said = subprocess.run(
        [sys.executable, "-c", "import outlast; print(outlast.__file__)"],
        env=env, cwd="/", capture_output=True, text=True, check=True, timeout=30,
    )  # fmt: skip
    return Path(said.stdout.strip()).parent


class Slot:
    """One host, through all its processes."""

    def __init__(self, number: int, way: Way, url: str, env: dict[str, str], folder: Path) -> None:
        self.number = number
        self.way = way
        self.spared = False
        """It is never killed: what it leaks adds up."""
        self.clock: Path | None = None
        """Where its clock is told how far to be off."""
        self.busy = asyncio.Lock()
        """Held by whoever stops, freezes or kills it."""
        self.address = ""
        self.lives = 0
        self.log = folder / f"host-{number}-0.log"
        self._env = {**env, **SETTINGS, "SUPABASE_DB_URL": url, "SUPABASE_SECRET_KEY": SECRET}
        self._env["TORTURE_FOLDER"] = str(folder)
        if way == "pooler":
            self._env["OUTLAST_DB_SESSIONS"] = "false"
        self._folder = folder
        self._process: subprocess.Popen[bytes] | None = None
        self._ended_by_us = True

    @property
    def name(self) -> str:
        """For people."""
        traits = [self.way, *(["spared"] if self.spared else []), *(["shaky clock"] if self.clock else [])]
        return f"host {self.number} ({', '.join(traits)})"

    def come_in_by(self, url: str) -> None:
        """From its next process on this is its way to the database."""
        self._env["SUPABASE_DB_URL"] = url

    @property
    def pid(self) -> int:
        """Its process, running or not."""
        assert self._process is not None
        return self._process.pid

    @property
    def up(self) -> bool:
        """Whether its process runs and has said where it listens."""
        return bool(self.address) and self._process is not None and self._process.poll() is None

    def shift_clock(self, library: Path) -> None:
        """From its next process on its wall clock can be moved (libfaketime); the monotonic one stays."""
        self.clock = self._folder / f"clock-{self.number}"
        self.set_clock(0)
        self._env |= {
            "LD_PRELOAD": str(library),
            "FAKETIME_TIMESTAMP_FILE": str(self.clock),
            "FAKETIME_CACHE_DURATION": "1",
            "DONT_FAKE_MONOTONIC": "1",
            "FAKETIME_DONT_FAKE_MONOTONIC": "1",
        }

    def set_clock(self, offset_s: int) -> None:
        """Move its wall clock so far from the true time; it looks once a second."""
        assert self.clock is not None
        partial = self.clock.with_suffix(".new")
        partial.write_text(f"{offset_s:+d}\n")
        partial.replace(self.clock)

    def start(self) -> None:
        """Give it a process. `find_address` tells when that serves."""
        self.lives += 1
        self.address = ""
        self.log = self._folder / f"host-{self.number}-{self.lives}.log"
        command = [sys.executable, "-m", "outlast", "serve", "--no-verify-jwt", "--port", "0"]
        # Faults are done to the very process that serves.
        command += ["--workers", "0", "--functions", str(FUNCTIONS)]
        with self.log.open("wb") as output:
            self._process = subprocess.Popen(
                command, env=self._env, cwd=self._folder, stdin=subprocess.DEVNULL, stdout=output,
                stderr=output, start_new_session=True,
            )  # fmt: skip
        self._ended_by_us = False

    def find_address(self) -> bool:
        """Whether it has said where it listens."""
        if not self.address and (found := _SERVING.search(self.said())):
            self.address = found[1]
        return self.up

    def said(self) -> str:
        """All that its process logged."""
        return self.log.read_text("utf-8", "replace") if self.log.exists() else ""

    def signal(self, number: signal.Signals) -> None:
        """Signal its process."""
        assert self._process is not None
        with contextlib.suppress(ProcessLookupError):
            self._process.send_signal(number)

    async def kill(self) -> None:
        """SIGKILL, and wait until it is gone."""
        assert self._process is not None
        self._ended_by_us = True
        self.address = ""
        self._process.kill()
        await asyncio.to_thread(self._process.wait, 10)

    async def terminate(self, patience_s: float) -> bool:
        """SIGTERM; whether it ended by itself in time. It is gone in any case."""
        assert self._process is not None
        self._ended_by_us = True
        self._process.terminate()
        try:
            await asyncio.to_thread(self._process.wait, patience_s)
        except subprocess.TimeoutExpired:
            await self.kill()
            return False
        self.address = ""
        return True

    def died(self) -> int | None:
        """The exit status of a process that nobody ended; told once."""
        if self._process is None or self._ended_by_us:
            return None
        status = self._process.poll()
        if status is not None:
            self._ended_by_us = True
        return status

    def close(self) -> None:
        """Leave nothing of it."""
        self._ended_by_us = True
        if self._process is not None:
            with contextlib.suppress(ProcessLookupError):
                os.killpg(self._process.pid, signal.SIGKILL)
            self._process.wait(10)


class Fleet:
    """All slots."""

    def __init__(self, slots: list[Slot]) -> None:
        self.slots = slots

    @property
    def up(self) -> list[Slot]:
        """Those that take calls, as far as one can see from outside."""
        return [slot for slot in self.slots if slot.up]

    @property
    def well(self) -> list[Slot]:
        """Those that are up and left alone."""
        return [slot for slot in self.up if not slot.busy.locked()]

    async def start(self) -> None:
        """Start all, and wait until they serve."""
        for slot in self.slots:
            slot.start()
        await self.all_up()

    async def all_up(self) -> None:
        """Wait until all serve. Raises RuntimeError."""
        deadline = time.monotonic() + _READY_WITHIN_S
        for slot in self.slots:
            while not slot.find_address():
                if time.monotonic() > deadline or slot.died() is not None:
                    raise RuntimeError(f"{slot.name} does not serve:\n{slot.said()[-3000:]}")
                await asyncio.sleep(0.05)

    async def watch(self) -> None:
        """Find new processes as they come up; for ever."""
        while True:
            for slot in self.slots:
                slot.find_address()
            await asyncio.sleep(0.05)

    def close(self) -> None:
        """Leave nothing."""
        for slot in self.slots:
            slot.close()
