-- What the list of workflows shows, in SQL: `outlast.find_workflows` finds them, and this view describes
-- them. It is a separate view, since earlier migrations make `outlast.workflows`, and must still apply over
-- it.

create or replace view outlast.workflow_summaries with (security_invoker = true) as
select
  workflow_id, function, version, status,
  case when status in ('ERROR', 'CANCELLED', 'EXHAUSTED') then outlast.public_error(workflow_id) end as error,
  queue, priority, parent, forked_from, attributes, generation, recovery_attempts, claimable_at,
  outlast.waiting_on(workflow_id) as waiting_on, deadline, created_at, started_at, updated_at, completed_at
from outlast.workflow_status;

comment on view outlast.workflow_summaries is
  'A workflow as lists show it, to whom outlast.workflows shows it: without what went in and what came out.';

do $$
declare
  role_name text;
  applied boolean := exists (select from outlast.schema_migrations where version = '20261129120000');
begin
  foreach role_name in array array['authenticated', 'service_role'] loop
    -- Only once, so that later grants of the project stay.
    if not applied and exists (select from pg_roles where rolname = role_name) then
      execute format('grant select on outlast.workflow_summaries to %I', role_name);
      execute format(
        'grant select (version, priority, parent, forked_from, attributes, generation, deadline)'
        ' on outlast.workflow_status to %I', role_name);
    end if;
  end loop;
end
$$;

insert into outlast.schema_migrations (version) values ('20261129120000') on conflict do nothing;
