"""The floor: pgbench doing the two commits of a durable one-step call, with no HTTP and no Python."""

from __future__ import annotations

import re
import subprocess
from pathlib import Path
from typing import Any

from benchmarks.harness.database import program
from benchmarks.harness.processes import BenchmarkError

CONNECTIONS_MAX = 64
"""Each is a process of Postgres's: beyond, connecting takes longer than measuring."""
_CALL = r"""
\set id random(1, 9000000000000000000)
insert into outlast.workflow_status (
  workflow_id, function, status, input, request, idempotency_key, fingerprint, version, owner, epoch,
  nonce, started_at
) values (
  'steps:' || :id, 'steps', 'PENDING', '{"n": 1}', '{"method":"POST","path":"","query":"","headers":[]}', :id,
  '0123456789abcdef0123456789abcdef', 'v1', 'pgbench', 1, 1, now()
) on conflict (workflow_id) do nothing;
with ended as (
  update outlast.workflow_status
  set status = 'SUCCESS', output = '{"n": 1}', owner = null, nonce = 2,
      completed_at = now(), updated_at = now()
  where workflow_id = 'steps:' || :id and epoch = 1 and owner = 'pgbench'
  returning workflow_id
)
insert into outlast.operation_outputs (
  workflow_id, step_id, name, output, attempts, completion_order, nonce, started_at
) select workflow_id, '1', 'one', '1', 1, 1, 2, now() from ended;
"""


def durable_calls(database: str, connections: int, seconds: float, folder: Path) -> dict[str, Any]:
    """Two commits a call, one connection a caller: calls/s and quantiles in milliseconds."""
    folder.mkdir(parents=True, exist_ok=True)
    script, log = folder / "call.sql", folder / "pgbench"
    script.write_text(_CALL)
    options = f"-n -M prepared -c {connections} -j {min(2, connections)} -T {max(2, round(seconds))}"
    command = [
        program("pgbench"),
        *options.split(),
        "-f",
        str(script),
        "-l",
        "--log-prefix",
        str(log),
        database,
    ]
    done = subprocess.run(command, capture_output=True, text=True, timeout=seconds + 60, check=False)
    found = re.search(r"tps = ([\d.]+)", done.stdout)
    if done.returncode or found is None:
        raise BenchmarkError(f"pgbench failed: {done.stderr[-500:]}")
    latencies = []
    for part in folder.glob("pgbench.*"):
        latencies += [int(line.split()[2]) / 1000 for line in part.read_text().splitlines()]
        part.unlink()
    latencies.sort()
    return {
        "per_s": float(found[1]),
        "p50_ms": latencies[len(latencies) // 2],
        "p99_ms": latencies[int(len(latencies) * 0.99)],
    }
