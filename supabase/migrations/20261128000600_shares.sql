-- How many workflows of a user sleep is counted when the user starts one more. Every statement may run twice.

-- Only what has left the memory is in it: an ended row costs it nothing, nor does one that never sleeps.
create index if not exists workflow_status_sleeping on outlast.workflow_status (subject)
  where subject is not null and owner is null and claimable_at is not null;

insert into outlast.schema_migrations (version) values ('20261128000600') on conflict do nothing;
