-- When a user starts a workflow, the user's sleeping workflows are counted. Every statement may run twice.

-- The index holds only workflows that have left the memory. Ended rows, and those that never sleep, cost it
-- nothing.
create index if not exists workflow_status_sleeping on outlast.workflow_status (subject)
  where subject is not null and owner is null and claimable_at is not null;

insert into outlast.schema_migrations (version) values ('20261128000600') on conflict do nothing;
