-- The rows that belong to a workflow are deleted with it: steps, events, messages, and the workflows that it
-- started. Every statement may run twice. The next migration checks existing rows, because it locks nobody
-- out.

-- For the cascades: both look up rows by one column, and the other indexes hold only a part of the rows.
create index if not exists workflow_status_parent on outlast.workflow_status (parent) where parent is not null;
create index if not exists messages_of_workflow on outlast.messages (workflow_id, topic, number);
drop index if exists outlast.messages_received;

do $$
begin
  if not exists (select from pg_constraint where conname = 'operation_outputs_workflow') then
    alter table outlast.operation_outputs add constraint operation_outputs_workflow
      foreign key (workflow_id) references outlast.workflow_status on delete cascade not valid;
  end if;
  if not exists (select from pg_constraint where conname = 'messages_workflow') then
    alter table outlast.messages add constraint messages_workflow
      foreign key (workflow_id) references outlast.workflow_status on delete cascade not valid;
  end if;
  if not exists (select from pg_constraint where conname = 'workflow_status_parent') then
    -- It stays unchecked for older rows: a workflow whose parent was removed goes on, if it has not ended.
    alter table outlast.workflow_status add constraint workflow_status_parent
      foreign key (parent) references outlast.workflow_status on delete cascade not valid;
  end if;
end
$$;

insert into outlast.schema_migrations (version) values ('20261128000700') on conflict do nothing;
