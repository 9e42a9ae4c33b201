-- Histories of workflows, as rows of both tables in one document each, to be replayed elsewhere.

-- name: schema
select to_regclass('outlast.operation_outputs')::text as known

-- name: histories
-- All that are open, up to `most`, and a sample of those that have ended: of each function the newest. What a body reads
-- of a map stands in the rows of its items: they are in it too, unless they are more than 10,000.
select json_build_object('workflow_status', to_json(w), 'operation_outputs', (
  select coalesce(json_agg(o order by o.completion_order), '[]') from outlast.operation_outputs o
  where o.workflow_id = w.workflow_id
), 'map_items', (
  select case when count(*) <= 10000 then coalesce(json_agg(json_build_object(
    'workflow_id', i.workflow_id, 'map_id', i.map_id, 'status', i.status, 'output', i.output, 'error', i.error)
    order by i.map_id, i.place), '[]') end
  from (
    select x.workflow_id, m.workflow_id as map_id, x.status, x.output, x.error, s.place
    from outlast.workflow_status m
    join outlast.workflow_status x on x.parent = m.workflow_id
    left join outlast.map_sources s on s.map_id = m.workflow_id and x.workflow_id = m.workflow_id || '/' || s.key
    where m.parent = w.workflow_id and m.map is not null
    limit 10001
  ) as i
))::text as history
from (
  (
    select x.workflow_id from outlast.workflow_status x
    where x.status in ('ENQUEUED', 'PENDING') and x.map is null and x.batch is null and x.function <> 'outlast.bulk'
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
