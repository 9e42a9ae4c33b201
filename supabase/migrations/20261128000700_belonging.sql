-- What belongs to a workflow goes with its row: steps, events, messages, and the workflows that it started. Every
-- statement may run twice. Rows that are there already are checked by the next migration, which locks nobody out.

-- For the cascades: both look rows up by one column of which other indexes hold a part of the rows.
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
    -- It stays unchecked for rows from before: whose parent was removed goes on, if it has not ended.
    alter table outlast.workflow_status add constraint workflow_status_parent
      foreign key (parent) references outlast.workflow_status on delete cascade not valid;
  end if;
end
$$;

insert into outlast.schema_migrations (version) values ('20261128000700') on conflict do nothing;
