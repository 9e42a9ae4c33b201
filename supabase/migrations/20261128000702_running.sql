-- The steps that an instance is running, for readers who ask another instance. Every statement may run twice.

alter table outlast.instances add column if not exists running json;

comment on column outlast.instances.running is
  'The steps that it has been running for some seconds: workflow_id, epoch, step_id, name, attempt, began, retry.';

insert into outlast.schema_migrations (version) values ('20261128000702') on conflict do nothing;
