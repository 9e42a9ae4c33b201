-- Histories of workflows, as rows of both tables in one document each, for a replay elsewhere.

-- name: schema
select to_regclass('outlast.map_sources')::text as known

-- name: histories
-- All open ones, up to `most`, and a sample of ended ones: the newest of each function. A body reads a map's results from the
-- rows of its items. The document has these too, unless there are more than 10,000 or some were removed.
select json_build_object('workflow_status', to_json(w), 'operation_outputs', (
  select coalesce(json_agg(o order by o.completion_order), '[]') from outlast.operation_outputs o
  where o.workflow_id = w.workflow_id
), 'map_items', (
  select case when count(*) <= 10000 and count(*) filter (where i.gone) = 0 then coalesce(json_agg(json_build_object(
    'workflow_id', i.workflow_id, 'map_id', i.map_id, 'status', i.status, 'output', i.output, 'error', i.error)
    order by i.map_id, i.place) filter (where i.workflow_id is not null), '[]') end
  from (
    -- A fork's maps are those of the workflow that it was made from.
    select x.workflow_id, m.id as map_id, x.status, x.output, x.error, s.place, y.workflow_id is null as gone
    from (
      select y.workflow_id as id from outlast.workflow_status y where y.parent = w.workflow_id and y.map is not null
      union
      select o.output ->> 'of' from outlast.operation_outputs o
      where o.workflow_id = w.workflow_id and o.kind = 'map' and json_typeof(o.output) = 'object'
    ) as m
    left join outlast.workflow_status y on y.workflow_id = m.id
    left join outlast.workflow_status x on x.parent = m.id
    left join outlast.map_sources s on s.map_id = m.id and x.workflow_id = m.id || '/' || s.key
    limit 10001
  ) as i
))::text as history
from (
  (
    select x.workflow_id from outlast.workflow_status x
    where x.status in ('ENQUEUED', 'PENDING') and x.completed_at is null
      and x.map is null and x.batch is null and x.function <> 'outlast.bulk'
    order by x.created_at limit %(most)s::bigint
  ) union all (
    select y.workflow_id
    from (
      select z.workflow_id, row_number() over (partition by z.function order by z.created_at desc) as place
      from (
        select e.workflow_id, e.function, e.created_at from outlast.workflow_status e
        where e.status in ('SUCCESS', 'ERROR') and e.map is null and e.batch is null and e.function <> 'outlast.bulk'
        order by e.created_at desc limit 20 * %(sample)s::bigint
      ) as z
    ) as y
    order by y.place limit %(sample)s::bigint
  )
) as chosen
join outlast.workflow_status w using (workflow_id)
