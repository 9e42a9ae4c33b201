-- What the torture adds to its own database: money, an audit of every write of the engine, and misfortune.

create schema torture;

create table torture.accounts (id integer primary key, balance bigint not null);
insert into torture.accounts select n, 1000 from generate_series(1, 64) n;

-- No constraint keeps an effect from being there twice: that is for the oracle to find.
create table torture.transfers (
  n bigint generated always as identity,
  workflow_id text not null, label text not null, token text not null,
  source integer not null, target integer not null, amount bigint not null,
  xid xid8 not null default pg_current_xact_id()
);
create index on torture.transfers (xid);
create index on torture.transfers (workflow_id);

-- Every change of a workflow's row, by whom (the session's application_name is the instance), in which transaction.
create table torture.changes (
  n bigint generated always as identity,
  workflow_id text not null, change text not null, app text not null,
  old_owner text, owner text, old_epoch bigint, epoch bigint, old_status text, status text,
  attempts integer, xid xid8 not null default pg_current_xact_id()
);
create index on torture.changes (xid);
create index on torture.changes (workflow_id);

-- Every write of a step's record. `complete_before`: it was complete already, and so must not change any more.
create table torture.records (
  n bigint generated always as identity,
  workflow_id text not null, step_id text not null, name text not null, change text not null, app text not null,
  complete_before boolean not null, xid xid8 not null default pg_current_xact_id()
);
create index on torture.records (xid);
create index on torture.records (workflow_id);

create function torture.note_change() returns trigger language plpgsql as $$
begin
  -- That its end was told changes nothing of a workflow, nor that somebody waits for it, nor that it is to undo, nor
  -- that it has a message.
  if tg_op = 'UPDATE' then
    if (old.untold, old.awaited, old.saga, old.mail) is distinct from (new.untold, new.awaited, new.saga, new.mail) then
      old.mail := new.mail;
      old.untold := new.untold;
      old.awaited := new.awaited;
      if old.saga is distinct from new.saga then
        old.saga := new.saga;
        old.stop := new.stop;
        old.nonce := new.nonce;
        old.updated_at := new.updated_at;
      end if;
      if to_jsonb(old) = to_jsonb(new) then return null; end if;
    end if;
  end if;
  if tg_op = 'DELETE' then
    insert into torture.changes (workflow_id, change, app, old_owner, old_epoch, old_status)
    values (old.workflow_id, tg_op, current_setting('application_name'), old.owner, old.epoch, old.status);
  elsif tg_op = 'INSERT' then
    insert into torture.changes (workflow_id, change, app, owner, epoch, status, attempts)
    values (new.workflow_id, tg_op, current_setting('application_name'), new.owner, new.epoch, new.status,
            new.recovery_attempts);
  else
    insert into torture.changes (workflow_id, change, app, old_owner, owner, old_epoch, epoch, old_status, status,
                                 attempts)
    values (new.workflow_id, tg_op, current_setting('application_name'), old.owner, new.owner, old.epoch, new.epoch,
            old.status, new.status, new.recovery_attempts);
  end if;
  return null;
end $$;

create function torture.note_record() returns trigger language plpgsql as $$
begin
  if tg_op = 'INSERT' then
    insert into torture.records (workflow_id, step_id, name, change, app, complete_before)
    values (new.workflow_id, new.step_id, new.name, tg_op, current_setting('application_name'), false);
  else
    insert into torture.records (workflow_id, step_id, name, change, app, complete_before)
    values (old.workflow_id, old.step_id, old.name, tg_op, current_setting('application_name'),
            old.completion_order is not null);
  end if;
  return null;
end $$;

create trigger torture_change after insert or update or delete on outlast.workflow_status
  for each row execute function torture.note_change();
create trigger torture_record after insert or update or delete on outlast.operation_outputs
  for each row execute function torture.note_record();

-- Misfortune strikes a part of the writes at a place for a while. It ends by itself.
create table torture.weather (
  place text primary key, errcode text not null, part float8 not null, until timestamptz not null,
  stall_s float8 not null default 0
);

create function torture.misfortune() returns trigger language plpgsql as $$
declare
  struck torture.weather;
begin
  select * into struck from torture.weather w
  where w.place = tg_argv[0] and w.until > clock_timestamp() and random() < w.part;
  if found and struck.stall_s > 0 then
    perform pg_sleep(struck.stall_s);
  elsif found then
    raise exception using errcode = struck.errcode, message = 'misfortune: ' || struck.errcode;
  end if;
  return new;
end $$;

create trigger torture_misfortune before insert or update on outlast.workflow_status
  for each row execute function torture.misfortune('engine');
create trigger torture_misfortune before insert or update on outlast.operation_outputs
  for each row execute function torture.misfortune('engine');
create trigger torture_misfortune before insert or update on outlast.instances
  for each row execute function torture.misfortune('lease');
create trigger torture_misfortune before insert on torture.transfers
  for each row execute function torture.misfortune('body');
-- Deferred: this one strikes at COMMIT itself.
create constraint trigger torture_misfortune_at_commit after insert on outlast.operation_outputs
  deferrable initially deferred for each row execute function torture.misfortune('commit');
