-- Sagas: a cancelled workflow first undoes what it has done. Every statement may run twice.

alter table outlast.workflow_status
  add column if not exists saga text check (saga in ('open', 'stopping', 'undoing')),
  add column if not exists stop json,
  add column if not exists stopped_on text;
comment on column outlast.workflow_status.saga is
  'Of one that has noted what would undo its steps: open; stopping, when it was cancelled; undoing, when its body knows.';
comment on column outlast.workflow_status.stop is 'The error that a cancelled workflow ends with, once all is undone.';
comment on column outlast.workflow_status.stopped_on is
  'Of one that was cancelled while an instance ran it: that instance, which is told (outlast.stops_of).';

create index if not exists workflow_status_stopped on outlast.workflow_status (stopped_on, completed_at)
  where stopped_on is not null;
create index if not exists workflow_status_stopping on outlast.workflow_status (owner) where saga = 'stopping';

create or replace function outlast.kill_below(workflow_id text, by text, why text)
returns boolean
language plpgsql
as $$
-- For a cancelled workflow, whose row is locked: marks it, so that workflows that still undo below it are
-- killed. Whether there are any.
begin
  if (select b.workflow_id from outlast.alive_below(array[kill_below.workflow_id]) as b limit 1) is null then
    return false;
  end if;
  perform outlast.note_act('workflow', w.workflow_id, 'cancel', kill_below.by, kill_below.why, outlast.workflow_stands(w))
  from outlast.workflow_status w where w.workflow_id = kill_below.workflow_id;
  update outlast.workflow_status w
  set error = (w.error::jsonb || '{"mode": "kill"}')::json, untold = true, updated_at = now()
  where w.workflow_id = kill_below.workflow_id;
  return true;
end
$$;

create or replace function outlast.cancel_workflows(
  ids text[], message text, nonce bigint default null, by text default null, why text default null,
  kill boolean default false
)
returns table (workflow_id text, status text)
language plpgsql
as $$
-- The raised epoch fences off all later writes of the instance that runs it, and that instance is told. A
-- workflow with something to undo goes on until it is undone, or is claimable at once. Once undoing has
-- begun, another cancel changes nothing. A killed workflow undoes nothing. Only a cancel by somebody (`by`)
-- is recorded as an act, not one that follows from another end.
#variable_conflict use_column
declare
  found record;
  heard boolean := false;
begin
  if kill and by is not null then
    for found in
      select w.workflow_id, w.status from outlast.workflow_status w
      where w.workflow_id = any(ids) and w.status = 'CANCELLED'
      for no key update
    loop
      -- guard: cancelled-ones-not-killed = if false then
      if outlast.kill_below(found.workflow_id, by, why) then
        workflow_id := found.workflow_id;
        status := found.status;
        return next;
      end if;
    end loop;
  end if;
  if by is not null then
    insert into outlast.acts (verb, noun, name, workflow_id, by, why, before)
    select 'cancel', 'workflow', w.workflow_id, w.workflow_id, outlast.actor(cancel_workflows.by), cancel_workflows.why,
      outlast.workflow_stands(w)
    from (
      select w.* from outlast.workflow_status w
      -- guard: cancels-unnoted = where false
      where w.workflow_id = any(ids) and w.status in ('ENQUEUED', 'PENDING') and (kill or coalesce(w.saga, 'open') = 'open')
      for no key update
    ) as w;
  end if;
  for found in
    update outlast.workflow_status w
    set status = case when w.saga is null or kill then 'CANCELLED' else w.status end,
        -- guard: cancel-keeps-owner
        owner = case when w.saga is not null and not kill then w.owner end,
        -- guard: cancelled-unheard = stopped_on = null,
        stopped_on = case when w.saga is null or kill then w.owner end,
        -- guard: cancel-keeps-epoch
        epoch = case when w.saga is null or kill then w.epoch + 1 else w.epoch end,
        claimable_at = case
          when w.saga is null or kill then null
          when w.saga = 'open' and w.owner is null then now()
          else w.claimable_at
        end,
        rank = case when w.saga is not null and not kill then w.rank end,
        nonce = coalesce(cancel_workflows.nonce, floor(random() * 9007199254740992)::bigint),
        error = case
          when kill then json_build_object('code', 'workflow_cancelled', 'message', cancel_workflows.message, 'mode', 'kill')
          when w.saga is null then json_build_object('code', 'workflow_cancelled', 'message', cancel_workflows.message) end,
        stop = case
          when w.saga is null or kill then null
          when w.saga = 'open' then json_build_object('code', 'workflow_cancelled', 'message', cancel_workflows.message)
          else w.stop end,
        saga = case when w.saga is null or kill then null when w.saga = 'open' then 'stopping' else w.saga end,
        completed_at = case when w.saga is null or kill then now() end,
        -- A workflow that has ended isn't held. Cancelling a paused one lets it undo.
        -- guard: cancelled-stay-held = held = w.held,
        held = case when w.saga is not null and not kill then
          case when w.held ->> 'reason' = 'paused' then nullif(w.held ->> 'over', '')::json else w.held end end,
        -- Its children must be cancelled, and its waiters told.
        untold = true,
        updated_at = now()
    where w.workflow_id = any(ids)
      -- guard: cancel-of-the-ended
      and w.status in ('ENQUEUED', 'PENDING')
    returning w.workflow_id, w.status, w.saga, w.stopped_on
  loop
    workflow_id := found.workflow_id;
    status := found.status;
    heard := heard or found.saga is not null or found.stopped_on is not null;
    return next;
  end loop;
  -- Once per transaction, and only if an instance runs the workflow or must undo it.
  -- guard: cancels-untold = if false then
  if heard then
    perform outlast.tell_due();
  end if;
end
$$;

comment on function outlast.cancel_workflows(text[], text, bigint, text, text, boolean) is
  'Cancel live workflows: CANCELLED at once, or PENDING until what their sagas have done is undone.';

create or replace function outlast.ends_untold()
returns boolean
language sql
stable
as $$
  -- Whether an end has waiters still to wake, or children still to cancel.
  select exists (select from outlast.waits x where x.due or x.target is null) or (
    select true from outlast.workflow_status w
    where w.untold and w.status not in ('ENQUEUED', 'PENDING')
      and (w.parent is not null or w.awaited or (w.status = 'CANCELLED' and w.started_at is not null))
    order by w.workflow_id limit 1
  ) is not null or (
    select true from outlast.workflow_status w where w.untold and w.saga = 'stopping'
    order by w.owner limit 1
  ) is not null
$$;

create or replace function outlast.stops_of(instance text)
returns json
language sql
stable
as $$
  select coalesce(json_object_agg(s.workflow_id, s.stop), '{}')
  from (
    select w.workflow_id, w.stop::text as stop from outlast.workflow_status w
    where w.owner = instance and w.saga = 'stopping'
    union all
    -- Cancelled or paused a moment ago, so it may still run there.
    select w.workflow_id, '{"code": "disowned"}' from outlast.workflow_status w
    where w.stopped_on = instance and w.status = 'CANCELLED' and w.completed_at > now() - interval '1 minute'
    union all
    select w.workflow_id, '{"code": "paused", "message": "it was paused"}' from outlast.workflow_status w
    where w.held is not null and w.held ->> 'instance' = instance and w.updated_at > now() - interval '1 minute'
  ) as s
$$;

select outlast.take_rights(
  '20261129030000',
  functions => array['kill_below', 'cancel_workflows', 'stops_of', 'ends_untold']);

insert into outlast.schema_migrations (version) values ('20261129030000') on conflict do nothing;
