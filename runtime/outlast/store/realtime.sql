-- Published events on their way to Realtime.

-- name: broadcast
-- In the transaction that has recorded them.
select outlast.broadcast(%(workflows)s::text[], %(steps)s::text[])
