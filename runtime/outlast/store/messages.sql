-- Messages to workflows: how they are sent, delivered and read.

-- name: send
select outlast.send(%(workflow_id)s, %(message)s::json, %(topic)s, %(key)s) as message_id

-- name: send_again
select outlast.send_again(
  %(workflow_id)s, %(message)s::json, %(topic)s, %(key)s, %(sender)s, %(epoch)s::bigint, %(generation)s::integer
) as message_id

-- name: answer
select outlast.answer_callback(%(workflow_id)s, %(step_id)s, %(mark)s, %(message)s::json, %(request)s) as message_id

-- name: deliver
-- Numbers the messages that have no number yet, and makes the workflows that wait for them claimable.
-- Only a transaction that holds a workflow's row numbers its messages. So a snapshot that shows a number shows all lower ones.
-- It is one statement and one commit: an instance that freezes in the middle holds no row.
select * from outlast.deliver(%(limit)s::integer, %(refused)s::text[])

-- name: tell
-- Ends that have not woken others yet, and waits that are over.
select woken, more from outlast.tell_untold()

-- name: read
-- For each workflow and topic whose inbox has new messages since the last look: the next messages in order.
-- `mail` is from the same snapshot, which shows all messages up to that number.
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
