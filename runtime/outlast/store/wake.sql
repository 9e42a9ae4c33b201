-- Wakes the host's URL when a workflow is due or abandoned and no instance is alive. Written by
-- `outlast db wake`; needs the extensions pg_cron and pg_net. Every statement may run twice. To undo it:
--   select cron.unschedule('outlast-wake');
--   drop function outlast.wake_host(); drop table outlast.wake;

do $$
begin
  if to_regclass('outlast.workflow_status') is null then
    raise exception 'the schema of Outlast is missing'
      using hint = 'run `outlast db migrate` first, or start an instance once';
  end if;
end
$$;

create table if not exists outlast.wake (
  the_only boolean primary key default true check (the_only),
  url text not null,
  tries integer not null default 0,
  next_at timestamptz not null default '-infinity'
);

comment on table outlast.wake is 'What is woken, how often in a row it was tried, and when it may be tried again.';

alter table outlast.wake enable row level security;
revoke all on outlast.wake from public;

insert into outlast.wake (url) values ({{url}})
on conflict (the_only) do update set url = excluded.url, tries = 0, next_at = '-infinity';

create or replace function outlast.wake_host()
returns boolean
language plpgsql
security definer
set search_path = pg_catalog, pg_temp
as $$
declare
  alive boolean := exists (select from outlast.instances i where i.lease_until > now());
  due boolean := exists (
    select from outlast.workflow_status w where w.owner is null and w.claimable_at <= now()
  ) or exists (
    select from outlast.workflow_status w where w.owner is not null and not exists (
      select from outlast.instances i where i.instance_id = w.owner and i.lease_until > now()
    )
  );
  target text;
begin
  if not due then
    update outlast.wake set tries = 0, next_at = '-infinity' where tries > 0;
    return false;
  elsif alive then
    return false;
  end if;
  -- One try has 50 s to bring the host up. One that doesn't come up, or leaves this undone, is left alone for
  -- twice as long each time, up to 13 minutes.
  update outlast.wake
  set tries = tries + 1, next_at = now() + interval '50 seconds' * 2 ^ least(tries, 4)
  where next_at <= now()
  returning url into target;
  if target is null then
    return false;
  end if;
  -- pg_net gives up after a second or few by itself; a platform may hold the answer until the host is up.
  perform net.http_get(url := target || '/readyz', timeout_milliseconds := 55000);
  return true;
end
$$;

comment on function outlast.wake_host() is 'Ask for the host''s URL if there is work and nobody to do it; whether it did.';

revoke all on function outlast.wake_host() from public;

do $$
declare
  extension text;
  every_s constant integer not null default {{every_s}};
  version text;
begin
  foreach extension in array array['pg_cron', 'pg_net'] loop
    if exists (select from pg_available_extensions where name = extension and installed_version is null) then
      execute format('create extension if not exists %I', extension);
    end if;
  end loop;
  if to_regnamespace('cron') is null
    or not exists (
      select from pg_proc p join pg_namespace n on n.oid = p.pronamespace
      where n.nspname = 'net' and p.proname = 'http_get'
    )
  then
    if current_setting('outlast.embedded', true) = 'on' then
      raise notice 'the embedded database has no pg_cron and pg_net: nothing is woken from here';
      return;
    end if;
    raise exception 'outlast.wake_host needs the extensions pg_cron and pg_net, and this database has not both'
      using hint = 'enable them, or delete this migration and let something else call the host: docs/sql.md';
  end if;
  select extversion into version from pg_extension where extname = 'pg_cron';
  perform cron.schedule(
    'outlast-wake',
    -- Intervals of seconds came with pg_cron 1.5, and end at 59.
    case
      when every_s < 60
        and (split_part(version, '.', 1)::integer, substring(split_part(version, '.', 2) from '^\d+')::integer) >= (1, 5)
        then every_s || ' seconds'
      when every_s < 120 then '* * * * *'
      else '*/' || every_s / 60 || ' * * * *'
    end,
    'select outlast.wake_host()'
  );
end
$$;
