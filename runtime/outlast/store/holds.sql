-- What is held because no code fits it.

-- name: hold
select workflow_id, held
from outlast.hold_workflows(%(instance)s, %(ids)s::text[], %(epochs)s::bigint[], %(details)s::text[])

-- name: tell_versions
update outlast.instances i set versions = %(versions)s::jsonb
where i.instance_id = %(instance)s and i.versions is distinct from %(versions)s::jsonb
returning 1 as told

-- name: free
select outlast.free_fitting(%(instance)s, %(limit)s::int) as freed

-- name: hold_unserved
select workflow_id, function, held::text
from outlast.hold_unserved(make_interval(secs => %(grace)s), %(limit)s::int)

-- name: end
select outlast.end_held(%(days)s, %(limit)s::int) as ended

-- name: look
select freed, held::text, ended, counts::text
from outlast.look_at_holds(
  %(instance)s, %(versions)s::jsonb, make_interval(secs => %(grace)s), %(days)s::float8, %(limit)s::int)

-- name: pin
-- Which version a workflow begins as that bears none. Done again, it finds what it has written.
update outlast.workflow_status w set version = %(version)s
where w.workflow_id = %(workflow)s and w.owner = %(instance)s and w.epoch = %(epoch)s
  and coalesce(w.version, %(version)s) = %(version)s
returning 1 as pinned
