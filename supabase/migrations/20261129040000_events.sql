-- Events that other workflows wait for. Every statement may run twice.

-- Only published events, so other records cost nothing. Readers of a long stream find their place at once.
create index if not exists operation_outputs_published on outlast.operation_outputs (workflow_id, name, completion_order)
  where kind = 'publish';

create or replace function outlast.begin_event_waits(
  waiters text[], targets text[], events text[], afters integer[], nonce bigint
)
returns integer
language plpgsql
as $$
-- Runs after suspensions that bear `nonce`, in their commit, and records which events they wait for. If the
-- event exists, or its target has ended, is gone, or is locked, the waiter is claimable at once, and looks
-- again. Returns how many.
#variable_conflict use_column
declare
  free text[];
  woken integer;
begin
  targets := array(
    select coalesce(t.target, a.target)
    from unnest(begin_event_waits.targets) with ordinality as a (target, place)
    left join outlast.attached t on t.workflow_id = a.target
    order by a.place);
  free := array(
    select c.workflow_id from outlast.workflow_status c
    where c.workflow_id = any(begin_event_waits.targets) and c.status in ('ENQUEUED', 'PENDING')
    -- Recording locks the row FOR SHARE. So either the publishing transaction waits for this commit, or this
    -- one doesn't wait for it.
    -- guard: event-waits-without-the-lock
    for no key update of c skip locked
  );
  -- A separate statement, so that its snapshot is younger than the locks.
  with asked as (
    select a.* from unnest(
      begin_event_waits.waiters, begin_event_waits.targets, begin_event_waits.events, begin_event_waits.afters
    ) with ordinality as a (waiter, target, event, after, place)
  ), published as (
    select a.place from asked a
    where exists (
      select from outlast.operation_outputs o
      where o.workflow_id = a.target and o.kind = 'publish' and o.name = 'publish ' || a.event
        and o.completion_order > a.after)
  ), ready as materialized (
    select distinct a.waiter from asked a
    where a.target <> all(free)
      -- guard: waits-for-what-is-published
      or a.place in (select p.place from published p)
  ), noted as (
    insert into outlast.waits (target, event, waiter)
    select a.target, a.event, a.waiter from asked a where a.waiter not in (select r.waiter from ready r)
    on conflict do nothing
  )
  update outlast.workflow_status w set claimable_at = now()
  from ready r
  where w.workflow_id = r.waiter and w.nonce = begin_event_waits.nonce and w.owner is null and w.status = 'PENDING';
  get diagnostics woken = row_count;
  return woken;
end
$$;

create or replace function outlast.tell_events(workflow_ids text[], events text[])
returns integer
language plpgsql
as $$
-- Runs after these events are recorded, in their commit: wakes the workflows that wait for them; returns how
-- many.
begin
  update outlast.waits w set due = true
  from unnest(tell_events.workflow_ids, tell_events.events) as p (workflow_id, event)
  -- guard: events-told-to-nobody = where false
  where w.target = p.workflow_id and w.event = p.event;
  if not found then
    return 0;
  end if;
  return outlast.wake_due();
end
$$;

select outlast.take_rights('20261129040000', functions => array['begin_event_waits', 'tell_events']);

insert into outlast.schema_migrations (version) values ('20261129040000') on conflict do nothing;
