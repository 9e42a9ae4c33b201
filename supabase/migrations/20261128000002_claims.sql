-- What a claim needs to know: how much memory a workflow takes to load, and which were lost before. Every
-- statement may run twice.

alter table outlast.workflow_status add column if not exists load_bytes bigint;

comment on column outlast.workflow_status.load_bytes is
  'Bytes of its input, request and records, as far as they are known: an instance claims what it has memory for.';

-- Lost workflows are claimed with care, and are few. Without this index each look for them would read all
-- that is due.
create index if not exists workflow_status_suspects on outlast.workflow_status (claimable_at)
  where owner is null and claimable_at is not null and recovery_attempts > 0;

-- Rows that waited before this column existed. The size of a large value is known only by reading it.
update outlast.workflow_status
set load_bytes = coalesce(octet_length(input::text), 0) + coalesce(octet_length(request::text), 0)
where status in ('ENQUEUED', 'PENDING') and load_bytes is null;

insert into outlast.schema_migrations (version) values ('20261128000002') on conflict do nothing;
