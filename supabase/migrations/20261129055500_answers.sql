-- Answers to callbacks: the table's row decides how many answers a link takes. Every statement may run twice.

create or replace function outlast.answer_callback(workflow_id text, step_id text, mark text, message json, request text)
returns bigint
language plpgsql
as $$
#variable_conflict use_column
declare
  told json;
  uses integer;
  prefix constant text := 'callback:' || answer_callback.step_id || ':' || answer_callback.mark || ':';
  key text;
  used integer;
  same integer;
begin
  -- Answers at the same time wait for each other, and each sees the earlier ones.
  select o.output into told from outlast.operation_outputs o
  where o.workflow_id = answer_callback.workflow_id and o.step_id = answer_callback.step_id and o.kind = 'callback'
  -- guard: callback-answered-at-once = ;
  for no key update;
  -- A callback recorded since a retry may ask something else.
  -- guard: callback-of-another-question-answered = if told is null then
  if told is null or told ->> 'mark' is distinct from answer_callback.mark then
    raise exception 'there is no such callback' using errcode = 'no_data_found';
  end if;
  uses := (told ->> 'uses')::integer;
  -- A link for one answer takes one message, which may be sent again. For several answers each request is
  -- one.
  -- guard: callback-used-again = key := prefix || answer_callback.request;
  key := prefix || case when uses = 1 then '1' else answer_callback.request end;
  select count(*) filter (where starts_with(m.idempotency_key, prefix)), count(*) filter (where m.idempotency_key = key)
  into used, same
  from outlast.messages m where m.workflow_id = answer_callback.workflow_id;
  -- guard: callback-answered-too-often
  if used >= uses and same = 0 then
    return null;
  end if;
  return outlast.send(answer_callback.workflow_id, message, told ->> 'topic', key);
end
$$;

comment on function outlast.answer_callback(text, text, text, json, text) is
  'Send the answer of one request to a callback; its message_id, or null if it takes no more of them.';

select outlast.take_rights('20261129055500', functions => array['answer_callback']);

insert into outlast.schema_migrations (version) values ('20261129055500') on conflict do nothing;
