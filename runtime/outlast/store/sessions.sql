-- Sessions at the dashboard.

-- name: open
-- A new session removes expired ones, and the oldest ones beyond a limit.
with gone as (
  delete from outlast.dashboard_sessions s
  where s.expires_at <= now()
    or s.id_hash in (
      select o.id_hash from outlast.dashboard_sessions o order by o.expires_at desc offset %(most)s - 1)
  returning 1
)
insert into outlast.dashboard_sessions (id_hash, key_mark, expires_at)
select %(id_hash)s, %(key_mark)s, now() + make_interval(secs => %(lasts_s)s)
where (select count(*) from gone) >= 0
on conflict (id_hash) do nothing
returning id_hash

-- name: find
select s.key_mark from outlast.dashboard_sessions s
where s.id_hash = %(id_hash)s
  -- guard: expired-sessions-go-on
  and s.expires_at > now()

-- name: close
delete from outlast.dashboard_sessions s where s.id_hash = %(id_hash)s returning s.id_hash
