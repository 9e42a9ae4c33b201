"""The floor: pgbench doing the two commits of a durable one-step call, with no HTTP and no Python."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from benchmarks.harness.pgbench import pgbench

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
    return pgbench(_CALL, database, connections, seconds, folder)
