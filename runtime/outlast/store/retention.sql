-- How long ended workflows are kept, and their removal.

-- name: declare
select outlast.declare_retentions(%(names)s::text[], %(keeps)s::float8[], %(served)s::text[])

-- name: prune
select p.removed, p.more, nullif(p.next_at, '-infinity') as next_at, p.next_id
from outlast.prune(%(keep_s)s::float8, %(most)s::integer, coalesce(%(after_at)s::timestamptz, '-infinity'), %(after_id)s::text) p
