-- Histories of workflows, as rows of both tables in one document each, to be replayed elsewhere.

-- name: schema
select to_regclass('outlast.operation_outputs')::text as known

-- name: histories
-- All that are open, up to `most`, and a sample of those that have ended: of each function the newest.
select json_build_object('workflow_status', to_json(w), 'operation_outputs', (
  select coalesce(json_agg(o order by o.completion_order), '[]') from outlast.operation_outputs o
  where o.workflow_id = w.workflow_id
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
