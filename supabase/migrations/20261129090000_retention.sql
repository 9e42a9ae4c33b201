-- Ended workflows are removed after they were kept for long enough. Every statement may run twice.

alter table outlast.workflow_status add column if not exists removing boolean;
comment on column outlast.workflow_status.removing is
  'Whether it is on its way out, with more descendants than go in one batch: nothing is done to it any more.';

create table if not exists outlast.retentions (
  function text primary key,
  keep_s float8,
  declared_at timestamptz not null default now()
);
comment on table outlast.retentions is
  'Functions that say for how long their ended workflows are kept. It stays when no instance serves them.';
comment on column outlast.retentions.keep_s is 'Seconds after the end; null: for ever.';
-- Autovacuum: each update of a workflow's row leaves a dead row, claims read past dead rows, and rows are
-- removed in batches. So a twentieth of the rows may be dead instead of a fifth, which limits what claims
-- read on large tables, too. Statistics follow as quickly. Records are only inserted and removed, so inserts
-- don't matter before a tenth of the table is new.
alter table outlast.workflow_status set (
  autovacuum_vacuum_scale_factor = 0.05, autovacuum_vacuum_threshold = 1000,
  autovacuum_analyze_scale_factor = 0.05, autovacuum_analyze_threshold = 1000,
  autovacuum_vacuum_insert_scale_factor = 0.1, autovacuum_vacuum_cost_delay = 1);
alter table outlast.operation_outputs set (
  autovacuum_vacuum_scale_factor = 0.05, autovacuum_vacuum_threshold = 1000,
  autovacuum_vacuum_insert_scale_factor = 0.1, autovacuum_vacuum_cost_delay = 1);
-- Small and busy: rows are rewritten, or live for seconds.
alter table outlast.instances set (autovacuum_vacuum_scale_factor = 0, autovacuum_vacuum_threshold = 200, fillfactor = 50);
alter table outlast.waits set (autovacuum_vacuum_scale_factor = 0.02, autovacuum_vacuum_threshold = 500);
alter table outlast.messages set (autovacuum_vacuum_scale_factor = 0.05, autovacuum_vacuum_threshold = 500);
alter table outlast.queue_starts set (autovacuum_vacuum_scale_factor = 0.02, autovacuum_vacuum_threshold = 500);
alter table outlast.limit_uses set (autovacuum_vacuum_scale_factor = 0.02, autovacuum_vacuum_threshold = 500);
alter table outlast.limit_waits set (autovacuum_vacuum_scale_factor = 0.02, autovacuum_vacuum_threshold = 500);

-- Rows about a workflow's tick are removed with it.
create index if not exists ticks_of_workflow on outlast.ticks (workflow_id) where workflow_id is not null;

create or replace function outlast.declare_retentions(names text[], keeps float8[], served text[])
returns void
language plpgsql
as $$
-- Records what an instance's functions declare; functions in `served` that declare nothing lose theirs.
begin
  delete from outlast.retentions r where r.function = any(served) and r.function <> all(names);
  insert into outlast.retentions as r (function, keep_s)
  select d.function, d.keep_s from unnest(names, keeps) as d (function, keep_s)
  order by d.function
  on conflict (function) do update set keep_s = excluded.keep_s, declared_at = now()
  where r.keep_s is distinct from excluded.keep_s;
end
$$;

create or replace function outlast.kept_since(function text, keep_s float8)
returns timestamptz
language sql
stable
as $$
  -- A workflow of this function that ended before this time was kept for long enough.
  select clock_timestamp() - make_interval(secs => least(1e11, coalesce(
    (select coalesce(r.keep_s, 1e11) from outlast.retentions r where r.function = kept_since.function), kept_since.keep_s)))
$$;

create or replace function outlast.removable(ids text[], keep_s float8)
returns text[]
language sql
volatile
as $$
  -- Those of these workflows that have ended, were kept for long enough, and aren't needed by others. Their
  -- rows are locked. A locked row is skipped: it is being retried, or written.
  select coalesce(array_agg(f.workflow_id), '{}') from (
    select w.workflow_id from outlast.workflow_status w
    where w.workflow_id = any(ids)
      -- guard: live-ones-removed
      and w.status not in ('ENQUEUED', 'PENDING')
      -- guard: removed-too-soon
      and w.completed_at < outlast.kept_since(w.function, removable.keep_s)
      -- Only waits for its end: it publishes nothing more, and a wait for an event also waits for the end.
      -- guard: removed-though-waited-for
      and not exists (select from outlast.waits x where x.target = w.workflow_id and x.event = '')
      -- Its end must have been told.
      -- guard: removed-before-it-was-told
      and not (w.untold and (w.parent is not null or w.awaited or (w.status = 'CANCELLED' and w.started_at is not null)))
      -- Forks that are live, or are retried, read what its children returned.
      -- guard: removed-under-its-forks = and case when false
      and case when exists (select from outlast.workflow_status f where f.forked_from = w.workflow_id)
        then outlast.reader_among(array[w.workflow_id], array[w.workflow_id]) is null else true end
      -- A live workflow may read it if a queue attached its call to it.
      and not exists (
        select from outlast.attached a join outlast.workflow_status p on p.workflow_id = a.parent
        -- guard: removed-under-the-attached = where false
        where a.target = w.workflow_id and p.status in ('ENQUEUED', 'PENDING'))
      -- guard: batches-removed-before-their-members
      and not exists (select from outlast.workflow_status m where m.batch = w.workflow_id and m.status = 'PENDING')
    for update of w skip locked
  ) f
$$;

create or replace function outlast.remove_trees(ids text[], given jsonb)
returns jsonb
language plpgsql
as $$
-- Removes these trees: `given` has the workflows of each by its top. Their rows are locked. All that belongs
-- to them is removed at once, where the foreign keys would remove it row by row.
declare
  members constant text[] not null default array(select jsonb_array_elements_text(given -> i.id) from unnest(ids) as i (id));
  gone jsonb;
begin
  delete from outlast.operation_outputs o where o.workflow_id = any(members);
  delete from outlast.messages m where m.workflow_id = any(members);
  delete from outlast.ticks t where t.workflow_id = any(array(
    select w.workflow_id from outlast.workflow_status w where w.workflow_id = any(members) and w.tick is not null));
  delete from outlast.queues q where q.name = any(array(
    select w.workflow_id from outlast.workflow_status w where w.workflow_id = any(members) and w.map is not null));
  -- A trigger of the project may keep some silently.
  with removed as (delete from outlast.workflow_status w where w.workflow_id = any(members) returning w.workflow_id)
  -- guard: what-stays-counts-as-removed = select to_jsonb(members) into gone;
  select coalesce(jsonb_agg(r.workflow_id), '[]') into gone from removed r;
  return gone;
end
$$;

create or replace function outlast.thin_bulks(ids text[], most integer)
returns boolean
language plpgsql
as $$
-- Removes the items of bulks among these first: up to a million rows. Returns whether there were any.
begin
  delete from outlast.bulk_items i where i.ctid = any(array(
    select x.ctid from outlast.bulks b join outlast.bulk_items x on x.bulk_id = b.bulk_id
    where b.bulk_id = any(ids) and b.total > most
    limit 10 * most));
  return found;
end
$$;

create or replace function outlast.prune_branch(root text, keep_s float8, most integer)
returns integer
language plpgsql
as $$
-- For a workflow with more descendants than fit in one batch: removes some that have none themselves; returns
-- how many. The first time it checks all of them, and from then on no verb may act on it.
declare
  node text := root;
  inner_node text;
  kids text[];
  trees jsonb;
begin
  if (select w.removing from outlast.workflow_status w where w.workflow_id = root) is not true then
    if exists (
      with recursive tree as (
        select root as id
        union all
        select c.workflow_id from tree t join outlast.workflow_status c on c.parent = t.id
      )
      select from tree t join outlast.workflow_status w on w.workflow_id = t.id
      -- guard: branches-of-living-trees-removed = where false
      where w.completed_at is null or w.completed_at >= outlast.kept_since(w.function, prune_branch.keep_s)
    ) then
      return 0;
    end if;
    update outlast.workflow_status w set removing = true where w.workflow_id = root;
  end if;
  loop
    kids := array(select c.workflow_id from outlast.workflow_status c where c.parent = node limit most);
    select c.parent into inner_node from outlast.workflow_status c where c.parent = any(kids) limit 1;
    exit when inner_node is null;
    node := inner_node;
  end loop;
  kids := outlast.removable(kids, keep_s);
  trees := (select jsonb_object_agg(k.id, jsonb_build_array(k.id)) from unnest(kids) as k (id));
  -- guard: one-kept-keeps-its-tree = return jsonb_array_length(outlast.remove_trees(kids, trees));
  return (select jsonb_array_length(r.done) from outlast.one_by_one('remove_trees', kids, trees) as r);
end
$$;

create or replace function outlast.prune(
  keep_s float8, most integer default 500, after_at timestamptz default '-infinity', after_id text default '',
  out removed integer, out more boolean, out next_at timestamptz, out next_id text
)
language plpgsql
as $$
-- Removes ended workflows that were kept for long enough: at most `most` rows, the oldest first, after the
-- given one. `keep_s`: how long to keep those whose functions declare nothing; 0: for ever. A tree of parents
-- and children is removed as a whole, once each of it may be. The next batch goes on at `next_at`, `next_id`;
-- at the end the next round begins. Only one call runs at a time; others return at once.
declare
  kept float8 := case when coalesce(keep_s, 0) > 0 then least(keep_s, 1e11) else 1e11 end;
  horizon timestamptz;
  ids text[];
  ats timestamptz[];
  owns text[];
  roots text[];
  members text[];
  tops text[];
  free text[];
  stay text[];
  trees jsonb;
  cut boolean := false;
begin
  removed := 0;
  more := false;
  next_at := after_at;
  next_id := after_id;
  -- Nothing relies on this lock: two calls at once skip each other's rows.
  if not pg_try_advisory_xact_lock(hashtext('outlast.prune')) then
    return;
  end if;
  horizon := clock_timestamp() - make_interval(secs => least(
    kept, coalesce((select min(r.keep_s) from outlast.retentions r), kept)));
  select array_agg(s.workflow_id order by s.completed_at, s.workflow_id),
      array_agg(s.completed_at order by s.completed_at, s.workflow_id),
      -- Those that aren't removed with a parent.
      array_agg(case when s.parent is null or not exists (
        select from outlast.workflow_status p where p.workflow_id = s.parent) then s.workflow_id end
        order by s.completed_at, s.workflow_id)
    into ids, ats, owns
  from (
    select w.workflow_id, w.completed_at, w.parent from outlast.workflow_status w
    where w.completed_at < horizon and (w.completed_at, w.workflow_id) > (after_at, after_id)
    order by w.completed_at, w.workflow_id
    limit most
  ) s;
  if ids is null then
    next_at := '-infinity';
    next_id := '';
    return;
  end if;
  more := true;
  next_at := ats[cardinality(ats)];
  next_id := ids[cardinality(ids)];
  free := outlast.removable(array_remove(owns, null), kept);
  roots := array(
    select o.id from unnest(owns) with ordinality as o (id, place) where o.id = any(free) order by o.place);
  if outlast.thin_bulks(roots, most) then
    next_at := after_at;
    next_id := after_id;
    return;
  end if;
  loop
    with recursive tree as (
      select r.id as top, r.id from unnest(roots) as r (id)
      union all
      select t.top, c.workflow_id from tree t join outlast.workflow_status c on c.parent = t.id
    ), portion as (
      select t.top, t.id from tree t limit most + 1
    )
    select coalesce(array_agg(s.id), '{}'), coalesce(array_agg(s.top), '{}') into members, tops from portion s;
    exit when cardinality(members) <= most or cardinality(roots) = 1;
    roots := roots[1:cardinality(roots) / 2];
    cut := true;
  end loop;
  if cardinality(members) > most then
    removed := outlast.prune_branch(roots[1], kept, most);
    cut := true;
  else
    free := outlast.removable(members, kept);
    stay := array(
      select distinct t.top from unnest(members, tops) as t (id, top)
      where not exists (select from unnest(free) as f (id) where f.id = t.id));
    trees := (
      select coalesce(jsonb_object_agg(t.top, t.ids), '{}') from (
        select t.top, jsonb_agg(t.id) as ids from unnest(members, tops) as t (id, top)
        -- guard: parents-removed-before-their-children
        where t.top <> all(stay)
        group by t.top) as t);
    free := array(select jsonb_object_keys(trees));
    -- A tree that a table or trigger of the project keeps stays, and holds up no other.
    -- guard: one-kept-keeps-all = removed := jsonb_array_length(outlast.remove_trees(free, trees));
    removed := (select jsonb_array_length(r.done) from outlast.one_by_one('remove_trees', free, trees) as r);
  end if;
  if cut and removed > 0 then
    next_at := after_at;  -- the others, or the rest of the same one
    next_id := after_id;
  elsif cut then
    next_id := roots[cardinality(roots)];  -- these can't be removed now
    next_at := ats[array_position(ids, next_id)];
  end if;
end
$$;

create or replace function outlast.prunable(keep_s float8)
returns table (function text, workflows bigint, oldest timestamptz, newest timestamptz)
language sql
stable
as $$
  -- What outlast.prune would remove now, by function. It reads all ended workflows.
  with recursive kept as (
    select case when coalesce(keep_s, 0) > 0 then least(keep_s, 1e11) else 1e11 end as s
  ), tree as (
    select w.workflow_id as top, w.workflow_id from outlast.workflow_status w
    where w.completed_at is not null
      and (w.parent is null or not exists (select from outlast.workflow_status p where p.workflow_id = w.parent))
    union all
    select t.top, c.workflow_id from tree t join outlast.workflow_status c on c.parent = t.workflow_id
  ), seen as (
    select t.top, w.function, w.completed_at,
      w.status not in ('ENQUEUED', 'PENDING')
      and w.completed_at < now() - make_interval(secs => least(1e11, coalesce(
        (select coalesce(r.keep_s, 1e11) from outlast.retentions r where r.function = w.function), k.s)))
      and not exists (select from outlast.waits x where x.target = w.workflow_id and x.event = '')
      and not (w.untold and (w.parent is not null or w.awaited or (w.status = 'CANCELLED' and w.started_at is not null)))
      and case when exists (select from outlast.workflow_status f where f.forked_from = w.workflow_id)
        then outlast.reader_among(array[w.workflow_id], array[w.workflow_id]) is null else true end
      and not exists (
        select from outlast.attached a join outlast.workflow_status p on p.workflow_id = a.parent
        where a.target = w.workflow_id and p.status in ('ENQUEUED', 'PENDING'))
      and not exists (select from outlast.workflow_status m where m.batch = w.workflow_id and m.status = 'PENDING')
      as goes
    from tree t join outlast.workflow_status w on w.workflow_id = t.workflow_id cross join kept k
  )
  select s.function, count(*), min(s.completed_at), max(s.completed_at) from seen s
  -- Without `not in`, which would search all of them for each row if many stay.
  where not exists (select from seen x where x.top = s.top and x.goes is not true)
  group by s.function order by s.function
$$;

select outlast.take_rights(
  '20261129090000',
  functions => array[
    'kept_since', 'declare_retentions', 'removable', 'remove_trees', 'prunable', 'thin_bulks',
    'prune_branch', 'prune'],
  tables => array['retentions']);

insert into outlast.schema_migrations (version) values ('20261129090000') on conflict do nothing;
