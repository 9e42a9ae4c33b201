-- Wakes the host's URL if a workflow or a schedule is due, or a workflow was abandoned, while no instance is alive. Written by
-- `outlast db wake`; needs the extensions pg_cron and pg_net. Every statement may run twice. To undo it:
--   select cron.unschedule('outlast-wake');
--   drop function outlast.wake_host(); drop table outlast.wake;

do $$
begin
  if to_regclass('outlast.bulks') is null then
    raise exception 'the schema of Outlast is missing, or too old'
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
alter table outlast.wake
  add column if not exists alive_at timestamptz not null default '-infinity',
  add column if not exists left_tries integer not null default 0,
  add column if not exists left_next_at timestamptz not null default '-infinity';

comment on table outlast.wake is
  'What is woken; how often in a row no instance came, and when the next try may be; the same for work that instances leave.';
comment on column outlast.wake.alive_at is 'When an instance was last seen to live: what was due then, it could have taken.';

alter table outlast.wake enable row level security;
revoke all on outlast.wake from public;

insert into outlast.wake (url) values ({{url}})
on conflict (the_only) do update
  set url = excluded.url, tries = 0, next_at = '-infinity', left_tries = 0, left_next_at = '-infinity';

create or replace function outlast.wake_host()
returns boolean
language plpgsql
security definer
set search_path = pg_catalog, pg_temp
as $$
declare
  alive constant boolean not null default exists (select from outlast.instances i where i.lease_until > now());
  seen constant timestamptz not null default case
    when alive then now()
        -- This also finds an instance that came and went between two looks.
    else coalesce((select max(i.started_at) from outlast.instances i), '-infinity')
  end;
  last_alive timestamptz;
  newest_due timestamptz;
  target text;
begin
    -- An instance that came has answered all earlier tries.
  update outlast.wake w set alive_at = seen, tries = 0, next_at = '-infinity' where w.alive_at < seen;
  select w.alive_at into last_alive from outlast.wake w;
  if alive then
    return false;
  end if;
    -- Held workflows wait for other code or for an operator. Each search reads an index.
  newest_due := greatest(
    (select max(w.claimable_at) from outlast.workflow_status w
    where w.owner is null and w.held is null and w.queue is null and w.claimable_at <= now()),
    (select max(last.claimable_at)
    from outlast.queues q
    cross join lateral (
      select w.claimable_at from outlast.workflow_status w
      where w.queue = q.name and w.owner is null and w.held is null and w.claimable_at <= now()
      order by w.claimable_at desc limit 1
    ) as last),
        -- The recipient of a message is only known once an instance has numbered it.
    (select m.created_at from outlast.messages m where m.number is null order by m.message_id desc limit 1),
    (select k.next_at from outlast.bulks k where not k.over and k.next_at <= now() order by k.next_at desc limit 1)
  );
  if newest_due > last_alive or exists (
        -- A schedule without a time was made since: an instance has to find it.
    select from outlast.schedules s
    where s.paused_at is null and s.orphaned_at is null and s.ended_at is null and s.fault is null
      and (s.next_at <= now() and s.next_at > last_alive or s.next_at is null and s.since > last_alive)
    -- No instance is alive, so a workflow with an owner has lost it.
  ) or (select true from outlast.workflow_status w where w.owner is not null order by w.owner limit 1) then
    -- A try has 50 s to bring the host up. If it fails, the next one comes later each time, up to 13 minutes.
    update outlast.wake w
    set tries = w.tries + 1, next_at = now() + interval '50 seconds' * 2 ^ least(w.tries, 4)
    where w.next_at <= now()
    returning w.url into target;
  elsif newest_due > now() - interval '7 days' then
        -- An instance was there and left the workflow: its function is gone, or there was no room. It is tried again ever more
        -- rarely, down to once a day, and delays nothing else.
    update outlast.wake w
    set left_tries = w.left_tries + 1,
        left_next_at = now() + least(interval '1 day', interval '50 seconds' * 4 ^ least(w.left_tries, 8))
    where w.left_next_at <= now()
    returning w.url into target;
  else
    update outlast.wake w
    set tries = 0, next_at = '-infinity', left_tries = 0, left_next_at = '-infinity'
    where w.tries > 0 or w.left_tries > 0;
  end if;
  if target is null then
    return false;
  end if;
  -- Don't wait for the answer: pg_net has one worker, and all HTTP of the project would wait for it.
  perform net.http_get(url := target || '/healthz', timeout_milliseconds := 5000);
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
      execute format(
        'create extension if not exists %I%s', extension,
        -- Where Supabase installs it. Its functions are in the schema `net`.
        case
          when extension = 'pg_net' and to_regnamespace('extensions') is not null then ' with schema extensions'
          else ''
        end
      );
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
    -- pg_cron has intervals in seconds since 1.5, of at most 59.
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
