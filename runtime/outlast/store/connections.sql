-- name: reach
-- A pooler accepts connections even when it can't reach the server. Other clients share its sessions, so missing settings
-- are made for each transaction.
select (
  select json_object_agg(each.key, each.value ->> 'value')::text
  from json_each(%(relied)s) as each
  where current_setting(each.key, true) !~* (each.value ->> 'fits')
)

-- name: open_session
-- Makes the settings of a session if this surely is one: because it is known, or because the server says so.
-- A connection is direct if its process number and application name are those of the session, which began a moment ago. A
-- pooler gives other numbers and may use another name, and an older session belonged to another client.
select
  judged.direct,
  judged.settings,
  judged.needed,
  case when judged.settings then (
    select count(set_config(each.key, each.value, false)) from json_each_text(judged.needed::json) as each
  ) end,
  case when judged.settings then (
    select count(set_config(each.key, each.value, false)) from json_each_text(%(session)s) as each
  ) end,
  -- The journal joins small arrays to large tables: it must never scan those tables.
  case when judged.settings and %(journal)s then set_config('plan_cache_mode', 'force_generic_plan', false) end,
  case when judged.settings and %(journal)s then set_config('enable_seqscan', 'off', false) end,
    -- A lock on one workflow's row must not hold up the others: see limit_locks in journal.sql.
  -- guard: locks-waited-for = null,
  case when judged.settings and %(journal)s then set_config('lock_timeout', '500ms', false) end,
  case when judged.settings and %(journal)s then set_config('enable_hashjoin', 'off', false) end,
  case when judged.settings and %(journal)s then set_config('enable_mergejoin', 'off', false) end
from (
  select seen.direct, seen.direct or %(known)s as settings, seen.needed
  from (
    select
      (
        select json_object_agg(each.key, each.value ->> 'value')::text
        from json_each(%(relied)s) as each
        where current_setting(each.key, true) !~* (each.value ->> 'fits')
      ) as needed,
      count(*) = 1 and bool_and(
        own.pid = %(pid)s
        -- guard: session-of-any-name
        and own.application_name = any(%(names)s)
        and clock_timestamp() - own.backend_start < make_interval(secs => %(age)s)
      ) as direct
    from pg_stat_get_activity(pg_backend_pid()) own
  ) seen
  offset 0
) judged

-- name: rely
-- For the current transaction.
select count(set_config(each.key, each.value, true)) from json_each_text(%(needed)s) as each
