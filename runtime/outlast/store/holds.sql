-- Workflows that are held because no code fits them.

-- name: hold
select workflow_id, held
from outlast.hold_workflows(%(instance)s, %(ids)s::text[], %(epochs)s::bigint[], %(details)s::text[])

-- name: look
select freed, held::text, ended, counts::text
from outlast.look_at_holds(
  %(instance)s, %(versions)s::jsonb, make_interval(secs => %(grace)s), %(days)s::float8, %(limit)s::int)

-- name: pin
-- Sets the version of a workflow that has none. If it runs again, it finds its own value.
update outlast.workflow_status w set version = %(version)s
where w.workflow_id = %(workflow)s and w.owner = %(instance)s and w.epoch = %(epoch)s
  and coalesce(w.version, %(version)s) = %(version)s
returning 1 as pinned
