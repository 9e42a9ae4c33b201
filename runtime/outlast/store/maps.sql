-- Maps: how they begin, their items in blocks, and the ends of items.

-- name: find
select outlast.map_at(
  %(ids)s::text[], %(parent)s, %(instance)s, %(epoch)s::bigint, %(functions)s::text[], %(fingerprint)s) as found

-- name: open
-- Whether this instance owns the parent. A query's rows are written before, in the same transaction.
select outlast.open_map(
  %(map_id)s, %(parent)s, %(instance)s, %(epoch)s::bigint, %(function)s, %(subject)s, %(claims)s,
  %(deadline_s)s::float8, %(concurrency)s::integer, %(map)s::json, %(fingerprint)s) as opened

-- name: look
select status, (map ->> 'total')::integer as total, (map ->> 'started')::integer as started,
  (map ->> 'stopped')::boolean as stopped, map -> 'reopening' is not null as reopening
from outlast.workflow_status
where workflow_id = %(map_id)s and map is not null

-- name: finish
select outlast.finish_map(%(map_id)s)

-- name: keep
with fenced as (
  select w.workflow_id from outlast.workflow_status w
  where w.workflow_id = %(parent)s
    -- guard: items-kept-without-epoch
    and w.epoch = %(epoch)s::bigint
    and w.owner = %(instance)s
  for share
), kept as (
  insert into outlast.map_sources (map_id, place, item)
  select %(map_id)s, %(first)s::integer + i.n, i.item::json
  from unnest(%(items)s::text[]) with ordinality as i (item, n)
  where exists (select from fenced)
  on conflict (map_id, place) do update set item = excluded.item
)
select workflow_id from fenced

-- name: kept
-- An earlier try that was cut short may have stored more items.
with fenced as (
  select w.workflow_id from outlast.workflow_status w
  where w.workflow_id = %(parent)s and w.epoch = %(epoch)s::bigint and w.owner = %(instance)s
  for share
), others as (
  delete from outlast.map_sources s
  where s.map_id = %(map_id)s and s.place > %(total)s::integer and exists (select from fenced)
)
select outlast.move_map(
  %(map_id)s, jsonb_build_object('total', %(total)s::integer, 'tolerate', %(tolerate)s::integer)) as whole
from fenced

-- name: source
select item::text from outlast.map_sources
where map_id = %(map_id)s and place > %(after)s::integer and place <= %(after)s::integer + %(limit)s::integer
order by place

-- name: start_block
-- Items, and the map's position after them, in one commit. Does nothing if the map is at another position: another try of
-- the same block was committed, or the map was stopped.
with fenced as (
  select w.workflow_id from outlast.workflow_status w
  where w.workflow_id = %(parent)s
    -- guard: block-without-epoch
    and w.epoch = %(epoch)s::bigint
    -- guard: block-without-owner
    and w.owner = %(instance)s
  for share
), stands as (
  select w.workflow_id from outlast.workflow_status w
  where w.workflow_id = %(map_id)s and w.status = 'PENDING' and exists (select from fenced)
    -- guard: block-in-any-place
    and (w.map ->> 'started')::integer = %(first)s::integer
    -- guard: stopped-map-goes-on
    and not (w.map ->> 'stopped')::boolean
  for no key update
), given as (
  -- include: start.sql rows
  , null as owner
), new as (
  select n.* from given n where exists (select from stands)
), started as (
  -- include: start.sql insert
  returning w.workflow_id
), kept as (
  update outlast.map_sources s
  set key = k.key
  from unnest(%(keys)s::text[]) with ordinality as k (key, n)
  where s.map_id = %(map_id)s and s.place = %(first)s::integer + k.n and exists (select from stands)
), moved as (
  select outlast.move_map(s.workflow_id, jsonb_build_object('started', %(first)s::integer + %(count)s::integer))
  from stands s
)
select exists (select from fenced) as fenced, exists (select from moved) as moved

-- name: reopen
select outlast.reopen_map(
  %(map_id)s, %(parent)s, %(instance)s, %(epoch)s::bigint, %(concurrency)s::integer, %(tolerate)s::integer, %(on_fail)s
) as open

-- name: free
-- Removes the items of the source once no retry needs them, some thousands at once. With keys the rows stay, to find items.
with read as (
  select s.place from outlast.map_sources s
  where s.map_id = %(map_id)s and (s.key is null or s.item is not null)
  limit 10000
), gone as (
  delete from outlast.map_sources s using read
  where s.map_id = %(map_id)s and s.place = read.place and s.key is null
  returning 1
), emptied as (
  update outlast.map_sources s set item = null from read
  where s.map_id = %(map_id)s and s.place = read.place and s.key is not null
  returning 1
)
select (select count(*) from gone) + (select count(*) from emptied) as freed

-- name: retry_child
select outlast.retry_child(%(child)s, %(parent)s, %(epoch)s::bigint, %(instance)s) as retried

-- name: analyze
-- Only a warning for a role that doesn't own the table.
analyze (skip_locked) outlast.workflow_status

-- name: tell
select outlast.tell_map(%(map_id)s, %(number)s::integer)

-- name: counts
select total, ok, failed from outlast.map_counts(%(map_id)s)

-- name: failed
select workflow_id, status, output::text, error::text from outlast.workflow_status
where parent = %(map_id)s and status in ('ERROR', 'CANCELLED', 'EXHAUSTED')
  and workflow_id collate "C" > %(after)s
order by workflow_id collate "C"
limit %(limit)s::bigint

-- name: ends
select w.workflow_id, w.status, w.output::text, w.error::text
from unnest(%(ids)s::text[]) with ordinality as i (id, n)
join outlast.workflow_status w on w.workflow_id = i.id
order by i.n

-- name: ends_of_query
select w.workflow_id, w.status, w.output::text, w.error::text
from outlast.map_sources s
join outlast.workflow_status w on w.workflow_id = s.map_id || '/' || s.key
where s.map_id = %(map_id)s and s.place > %(first)s::integer and s.place <= %(first)s::integer + %(limit)s::integer
order by s.place
