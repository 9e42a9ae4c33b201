-- The database of the embedded server, made anew; over a connection to another one.

-- name: instances
-- The hosts that use it now.
select count(*) from pg_stat_activity
where datname = 'postgres' and application_name like 'outlast/%%' and application_name <> 'outlast/cli'

-- name: drop
drop database postgres with (force)

-- name: create
create database postgres template template1
