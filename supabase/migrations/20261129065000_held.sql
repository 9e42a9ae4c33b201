-- A workflow that no code fits is held until other code is there. Every statement may run twice.

alter table outlast.instances add column if not exists versions jsonb;
comment on column outlast.instances.versions is
  'The version of each function that it runs, of its file and all that this imports; null until it has told.';

create index if not exists workflow_status_held on outlast.workflow_status (function) where held is not null;
create index if not exists workflow_status_misfit on outlast.workflow_status (claimable_at)
  where misfits is not null and held is null and owner is null and claimable_at is not null;

create or replace function outlast.fits(function text, misfits jsonb, instance text)
returns boolean
language sql
stable
as $$
  -- Whether an instance's code may be tried: code that has shown that it doesn't fit would only do so again.
  select exists (
    select from outlast.instances i
    where i.instance_id = fits.instance and i.versions ? fits.function
      and not coalesce(fits.misfits ? (i.versions ->> fits.function), false))
$$;

create or replace function outlast.anyone_fits(function text, misfits jsonb, but text default null)
returns boolean
language sql
stable
as $$
  -- Whether a live instance has code that may be tried. `but`: this instance has just shown that its code
  -- doesn't fit.
  select exists (
    select from outlast.instances i
    where i.lease_until > now() and i.instance_id is distinct from but
      and outlast.fits(anyone_fits.function, anyone_fits.misfits, i.instance_id))
$$;

create or replace function outlast.hold_workflows(me text, ids text[], epochs bigint[], details text[])
returns table (workflow_id text, held boolean)
language plpgsql
as $$
-- Gives back workflows of `me` whose records its code doesn't fit. If another instance has other code, it
-- goes on with them; otherwise they are held. Workflows that `me` no longer owns are skipped.
#variable_conflict use_column
declare
  found record;
  passed boolean := false;
begin
  for found in
    with asked as (
      select a.id, a.epoch, a.detail::jsonb as detail from unnest(ids, epochs, details) as a (id, epoch, detail)
    ), mine as materialized (
      select w.workflow_id, w.function, a.detail, coalesce(w.misfits, '{}')
        || jsonb_build_object(a.detail ->> 'version', a.detail) as misfits
      from asked a join outlast.workflow_status w on w.workflow_id = a.id
      -- guard: hold-without-epoch = where w.owner = me
      where w.owner = me and w.epoch = a.epoch
      for no key update of w
    )
    update outlast.workflow_status w
    set owner = null, claimable_at = now(), awaits = null, updated_at = now(),
        -- guard: misfits-forgotten = misfits = null,
        misfits = (
          select jsonb_object_agg(e.key, e.value)
          from (select * from jsonb_each(m.misfits) order by value ->> 'since' desc limit 20) as e
        ),
        -- guard: held-from-the-right-version = held = m.detail::json
        held = case when outlast.anyone_fits(m.function, m.misfits, me) then null else m.detail::json end
    from mine m where w.workflow_id = m.workflow_id
    returning w.workflow_id, w.held is not null as held
  loop
    workflow_id := found.workflow_id;
    held := found.held;
    passed := passed or not held;
    return next;
  end loop;
  if passed then
    perform outlast.tell_due();
  end if;
end
$$;

create or replace function outlast.free_fitting(me text, most integer)
returns integer
language plpgsql
as $$
-- Frees held workflows that the code of `me` may fit, `most` of them; returns how many.
declare
  freed integer;
begin
  with fitting as (
    select w.workflow_id from outlast.workflow_status w
    join outlast.instances i on i.instance_id = me
    where w.held is not null and w.function = any(array(select jsonb_object_keys(i.versions)))
      -- guard: paused-freed-by-code
      and w.held ->> 'reason' <> 'paused'
      -- guard: freed-by-the-same-code
      and not coalesce(w.misfits ? (i.versions ->> w.function), false)
    order by w.function limit most
    for no key update of w skip locked
  )
  update outlast.workflow_status w set held = null, updated_at = now()
  where w.workflow_id = any(array(select f.workflow_id from fitting f));
  get diagnostics freed = row_count;
  if freed > 0 then
    perform outlast.tell_due();
  end if;
  return freed;
end
$$;

create or replace function outlast.hold_unserved(grace interval, most integer)
returns table (workflow_id text, function text, held json)
language sql
as $$
  -- Holds workflows that are due for longer than `grace` while no live instance has code for them. It looks
  -- at those that have waited longest, outside queues and in each queue. Workflows that can be served don't
  -- stay there.
  with without as (
    select w.workflow_id, (
      select e.value from jsonb_each(w.misfits) as e order by e.value ->> 'since' desc limit 1
    )::json as held
    from outlast.workflow_status w
    where w.misfits is not null and w.held is null and w.owner is null and w.claimable_at <= now() - grace
      and not outlast.anyone_fits(w.function, w.misfits)
    order by w.claimable_at limit most
    for no key update skip locked
  ), first_due as (
    (
      select x.workflow_id from outlast.workflow_status x
      where x.owner is null and x.queue is null and x.held is null and x.claimable_at <= now() - grace
      order by x.claimable_at limit most
    ) union all (
      select x.workflow_id from outlast.queues q
      cross join lateral (
        select y.workflow_id from outlast.workflow_status y
        where y.queue = q.name and y.owner is null and y.held is null and y.claimable_at <= now() - grace
        order by y.claimable_at limit 100
      ) as x
    )
  ), missing as (
    select w.workflow_id, json_build_object(
      'reason', 'function_missing', 'since', outlast.at_text(now()),
      'message', 'no instance serves ' || w.function, 'step', null, 'recorded', null, 'called', null, 'at', null,
      'version', null, 'remedy', 'deploy its file again, under the same name') as held
    from outlast.workflow_status w
    where w.workflow_id = any(array(select h.workflow_id from first_due h)) and w.misfits is null and not exists (
      select from outlast.instances i
      where i.lease_until > now() and (i.versions is null or i.versions ? w.function))
    limit most
    for no key update of w skip locked
  ), unfit as (
    select * from without union all select * from missing
  )
  update outlast.workflow_status w set held = u.held, updated_at = now()
  from unfit u
  where w.workflow_id = u.workflow_id and w.owner is null and w.held is null
  returning w.workflow_id, w.function, w.held
$$;

create or replace function outlast.end_held(days float8, most integer)
returns integer
language plpgsql
as $$
-- Ends workflows that were held for too long to expect a fix; returns how many. Paused workflows stay paused.
declare
  ended integer;
begin
  with over as (
    select w.workflow_id from outlast.workflow_status w
    where w.held is not null and w.held ->> 'reason' <> 'paused' and w.status in ('ENQUEUED', 'PENDING')
      -- guard: held-ends-too-soon
      and (w.held ->> 'since')::timestamptz < now() - make_interval(secs => days * 86400)
    order by w.function limit most
    for no key update skip locked
  )
  update outlast.workflow_status w
  set status = 'ERROR', epoch = w.epoch + 1, claimable_at = null, rank = null, held = null, completed_at = now(),
      -- guard: given-up-untold
      untold = true,
      updated_at = now(), nonce = floor(random() * 9007199254740992)::bigint,
      error = json_build_object(
        'code', w.held ->> 'reason', 'message', (w.held ->> 'message') || '; it was held for ' || days || ' days',
        'held', w.held)
  where w.workflow_id = any(array(select o.workflow_id from over o));
  get diagnostics ended = row_count;
  if ended > 0 then
    perform outlast.tell_untold();
  end if;
  return ended;
end
$$;

create or replace function outlast.look_at_holds(
  me text, versions jsonb, grace interval, days float8, most integer,
  out freed integer, out held json, out ended integer, out counts json
)
language plpgsql
as $$
-- All regular work of an instance on holds, in one statement: first it records which code it runs. `days` 0:
-- none ends.
begin
  -- guard: versions-untold
  update outlast.instances i set versions = look_at_holds.versions where i.instance_id = me and i.versions is distinct from look_at_holds.versions;
  -- guard: held-never-freed = freed := 0;
  freed := outlast.free_fitting(me, most);
  select coalesce(json_agg(h), '[]') into held from outlast.hold_unserved(grace, most) as h;
  ended := case when days > 0 then outlast.end_held(days, most) else 0 end;
  select coalesce(json_object_agg(c.reason, c.number), '{}') into counts from (
    select h.reason, count(*) as number
    from (
      select w.held ->> 'reason' as reason from outlast.workflow_status w where w.held is not null
      order by w.function limit 1000
    ) as h
    group by h.reason
  ) as c;
end
$$;

select outlast.take_rights(
  '20261129065000',
  functions => array[
    'fits', 'anyone_fits', 'hold_workflows', 'free_fitting', 'hold_unserved', 'end_held', 'look_at_holds']);

insert into outlast.schema_migrations (version) values ('20261129065000') on conflict do nothing;
