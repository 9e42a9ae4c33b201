-- Messages to workflows from SQL. Every statement may run twice.

-- Runs in the caller's own transaction: its commit sends, its rollback doesn't. It locks no row of a
-- workflow. So a transaction that stays open blocks nobody.
create or replace function outlast.send(
  workflow_id text, message json, topic text default null, idempotency_key text default null
) returns bigint
language plpgsql
security definer
as $$
#variable_conflict use_column
declare
  standing text;
  found outlast.messages;
  sent bigint;
begin
  if send.workflow_id is null or send.message is null then
    raise exception 'outlast.send takes the id of a workflow and a message; JSON null is a message: ''null'''
      using errcode = 'null_value_not_allowed';
  end if;
  if length(coalesce(send.topic, '')) > 255 or length(coalesce(send.idempotency_key, '')) > 255 then
    raise exception 'outlast.send: a topic and an idempotency key have at most 255 characters'
      using errcode = 'string_data_right_truncation';
  end if;
  if octet_length(send.message::text) > 16777216 then
    raise exception 'outlast.send: a message has at most 16 MiB; keep more elsewhere and send where it is'
      using errcode = 'program_limit_exceeded';
  end if;
  perform send.message::jsonb;  -- refuses what json accepts and readers don't: \u0000, half a surrogate pair

  -- Checked before the status: sending again under the same key returns the same, also after the workflow's
  -- end.
  if send.idempotency_key is not null then
    select m.* into found from outlast.messages m
    where m.workflow_id = send.workflow_id and m.idempotency_key = send.idempotency_key;
  end if;
  if found.message_id is null then
    select w.status into standing from outlast.workflow_status w where w.workflow_id = send.workflow_id;
    if standing is null then
      raise exception 'there is no workflow %', send.workflow_id using errcode = 'no_data_found';
    elsif standing not in ('ENQUEUED', 'PENDING') then
      raise exception 'the workflow % has ended as %: it receives no more messages', send.workflow_id, standing
        using errcode = 'object_not_in_prerequisite_state';
    end if;
    insert into outlast.messages as m (workflow_id, topic, message, idempotency_key)
    values (send.workflow_id, coalesce(send.topic, ''), send.message, send.idempotency_key)
    on conflict do nothing
    returning m.message_id into sent;
    if sent is not null then
      perform outlast.tell_due();
      return sent;
    end if;
    -- Another transaction has sent under this key meanwhile, and committed: the insert waited for it.
    select m.* into found from outlast.messages m
    where m.workflow_id = send.workflow_id and m.idempotency_key = send.idempotency_key;
  end if;
  if found.topic <> coalesce(send.topic, '') or found.message::jsonb <> send.message::jsonb then
    raise exception 'this idempotency key was used with another message to the same workflow'
      using errcode = 'unique_violation';
  end if;
  return found.message_id;
end
$$;

comment on function outlast.send(text, json, text, text) is
  'Send a message to a workflow; its message_id. Under the same idempotency key once.';

select outlast.take_rights('20261127000002', of_service => array['send']);

insert into outlast.schema_migrations (version) values ('20261127000002') on conflict do nothing;
