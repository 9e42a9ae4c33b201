-- A key used again with equal JSON is the same call, over HTTP, in Python or in SQL. outlast.start_as of
-- 20261128230000 does that; this version stays for databases that have recorded it.

insert into outlast.schema_migrations (version) values ('20261128003000') on conflict do nothing;
