"""Limits of queues and of steps: never more at once, of a key and in a time than they allow."""

from __future__ import annotations

import asyncio

from tests.torture.oracles.violations import Violations
from tests.torture.server import Server

LOOK_EVERY_S = 0.1

# Each is one statement, so that it sees one moment.
_RUNNING = """
select queue, '' as key, count(*)::int as n from outlast.workflow_status
where owner is not null and queue is not null group by queue
having count(*) > (select (q.base ->> 'concurrency')::int from outlast.queues q where q.name = queue)
union all
select queue, queue_key, count(*)::int from outlast.workflow_status
where owner is not null and queue is not null group by queue, queue_key
having count(*) > (select (q.base ->> 'per_key')::int from outlast.queues q where q.name = queue)
union all
select queue, queue_key, count(*)::int from outlast.workflow_status
where status = 'PENDING' and queue is not null group by queue, queue_key
having count(*) > 1 and exists (
  select from outlast.queues q where q.name = queue and (q.base ->> 'exclusive')::boolean)
union all
select u.name, 'steps', count(*)::int
from outlast.limit_uses u
join outlast.workflow_status w on w.workflow_id = u.workflow_id and w.epoch = u.epoch
where w.owner is not null and not u.given_up and not exists (
  select from outlast.operation_outputs o where o.workflow_id = u.workflow_id and o.step_id = u.step_id)
group by u.name
having count(*) > (
  select (q.base ->> 'concurrency')::int from outlast.queues q where q.name = 'step:' || u.name)
union all
select name, 'steps in a second', n from (
  select u.name, (q.base #>> '{rate,n}')::int as most, count(*) over (
    partition by u.name order by u.at range between interval '1 s' preceding and current row
  )::int as n
  from outlast.limit_uses u join outlast.queues q on q.name = 'step:' || u.name
  where q.base::jsonb ? 'rate' and isfinite(u.at)
) as uses
where n > most
"""
_PACED = """
select queue, workflow_id as key, n from (
  select w.queue, w.workflow_id, (q.base #>> '{rate,n}')::int as most, count(*) over (
    partition by w.queue order by w.started_at range between interval '1 s' preceding and current row
  )::int as n
  from outlast.workflow_status w join outlast.queues q on q.name = w.queue
  where q.base::jsonb ? 'rate' and w.started_at is not null
) as starts
where n > most limit 20
"""
"""The rate's time is a second: see functions/load.py."""


class Limits:
    """Looks all the time, and at all starts in the end."""

    def __init__(self, server: Server, violations: Violations) -> None:
        self.checks = 0
        self._server = server
        self._violations = violations

    async def look_on(self) -> None:
        """Look until cancelled."""
        while True:
            await self._check("more run than a queue allows", _RUNNING)
            await asyncio.sleep(LOOK_EVERY_S)

    async def look_at_all(self) -> None:
        """See how many began in any second of the run."""
        await self._check("more began than a rate allows", _PACED)

    async def _check(self, what: str, query: str) -> None:
        self.checks += 1
        for row in await self._server.rows(query):
            self._violations.add(what, f"{row['queue']} {row['key']}", f"{row['n']} at once")
