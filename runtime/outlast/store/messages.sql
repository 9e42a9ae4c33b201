-- Messages to workflows: how they are sent, delivered and read.

-- name: send
select outlast.send(%(workflow_id)s, %(message)s::json, %(topic)s, %(key)s) as message_id

-- name: answer
select outlast.answer_callback(%(workflow_id)s, %(step_id)s, %(message)s::json, %(request)s) as message_id

-- name: deliver
-- Numbers the messages that have no number yet, and makes the workflows claimable that wait for one of them.
-- Only a transaction that holds a workflow's row numbers its messages: so a snapshot that shows a number shows all
-- lower ones. It is one statement and one commit: an instance that freezes in the middle holds no row.
with waiting as materialized (
  -- Those of locked workflows are passed by before the limit: a later delivery finds them. The row is looked up for each,
  -- so that this stays with the index of what is undelivered.
  select m.message_id
  -- guard: one-inbox-stops-all = from (select * from outlast.messages where number is null order by message_id limit 500) as m
  from (select * from outlast.messages where number is null order by message_id) as m
  cross join lateral (
    select from outlast.workflow_status w where w.workflow_id = m.workflow_id
    order by w.workflow_id limit 1
    -- guard: numbered-without-the-lock
    for no key update skip locked
  ) as w
  -- guard: refused-ones-fill-deliveries
  where m.workflow_id <> all(%(refused)s::text[])
  order by m.message_id
  limit %(limit)s
), arrived as materialized (
  -- The messages are locked after the row: those that another transaction numbered since the snapshot drop out.
  select m.message_id, m.workflow_id
  from waiting b
  join outlast.messages m on m.message_id = b.message_id
  where m.number is null
  for update of m skip locked
)
select
  exists (
    select from outlast.messages m
    where m.number is null and m.message_id not in (select message_id from arrived)
      -- guard: refused-messages-asked-at-once
      and m.workflow_id <> all(%(refused)s::text[])
  ) as left,
  jsonb_array_length(r.done) as woken,
  r.refused
from (select array_agg(distinct workflow_id) as ids, jsonb_agg(message_id) as messages from arrived) as a
cross join lateral outlast.one_by_one('deliver_rows', a.ids, a.messages) as r

-- name: tell
-- Ends that nobody has told of, and waits that are over.
select woken, more from outlast.tell_untold()

-- name: read
-- For each workflow and topic in whose inbox something came since the last look: the next messages in order.
-- `mail` is of the same snapshot, which shows all messages up to that number.
select r.place, w.mail, m.message_id, m.number, m.message
from unnest(%(workflows)s::text[], %(topics)s::text[], %(afters)s::bigint[], %(seens)s::bigint[])
  with ordinality as r (workflow_id, topic, after, seen, place)
join outlast.workflow_status w on w.workflow_id = r.workflow_id and w.mail > r.seen
left join lateral (
  select m.message_id, m.number, m.message::text
  from outlast.messages m
  where m.workflow_id = r.workflow_id and m.topic = r.topic and m.number > r.after
  order by m.number
  limit %(limit)s
) as m on true
