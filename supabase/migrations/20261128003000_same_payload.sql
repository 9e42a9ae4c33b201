-- A key that was used with what is the same JSON is the same call, whether it came by HTTP, in Python or in SQL. That is
-- said by outlast.start_as of 20261128230000; this version stays for the databases that know it.

insert into outlast.schema_migrations (version) values ('20261128003000') on conflict do nothing;
