-- Metrics: how many workflows are held is asked at each scrape, and most are not.

create index if not exists workflow_status_held on outlast.workflow_status (function) where held is not null;

insert into outlast.schema_migrations (version) values ('20261129095000') on conflict do nothing;
