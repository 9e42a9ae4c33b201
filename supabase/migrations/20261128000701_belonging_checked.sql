-- Removes rows left by workflows that were removed before such rows belonged to them. Every statement may run
-- twice.

delete from outlast.operation_outputs o
where not exists (select from outlast.workflow_status w where w.workflow_id = o.workflow_id);
delete from outlast.messages m
where not exists (select from outlast.workflow_status w where w.workflow_id = m.workflow_id);
delete from outlast.workflow_status c
where c.completed_at is not null and c.parent is not null
  and not exists (select from outlast.workflow_status w where w.workflow_id = c.parent);

alter table outlast.operation_outputs validate constraint operation_outputs_workflow;
alter table outlast.messages validate constraint messages_workflow;

insert into outlast.schema_migrations (version) values ('20261128000701') on conflict do nothing;
