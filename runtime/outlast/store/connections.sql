-- name: reach
-- A pooler takes connections whether or not it has a way to the server. Its sessions are strangers' too: what they
-- lack of the settings that are relied on is made for each transaction.
select (
  select json_object_agg(each.key, each.value ->> 'value')::text
  from json_each(%(relied)s) as each
  where current_setting(each.key, true) !~* (each.value ->> 'fits')
)

-- name: open_session
-- Makes the settings of a session, where it is one: known, or certain by what the server itself says.
-- Direct is who was given this very process when it connected, under its own name, a moment ago. A pooler gives
-- numbers of its own, and may have a name of its own; a session that is older was somebody else's.
select
  judged.direct,
  judged.settings,
  judged.needed,
  case when judged.settings then set_config('statement_timeout', %(statement_timeout)s, false) end,
  case when judged.settings then (
    select count(set_config(each.key, each.value, false)) from json_each_text(judged.needed::json) as each
  ) end,
  case when judged.settings then (
    select count(set_config(each.key, each.value, false)) from json_each_text(%(session)s) as each
  ) end,
  -- The journal's one statement joins small arrays to large tables: never by reading those tables.
  case when judged.settings and %(journal)s then set_config('plan_cache_mode', 'force_generic_plan', false) end,
  case when judged.settings and %(journal)s then set_config('enable_seqscan', 'off', false) end,
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
-- For the transaction that it is in.
select count(set_config(each.key, each.value, true)) from json_each_text(%(needed)s) as each
