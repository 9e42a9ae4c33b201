-- Published events on their way to Realtime.

-- name: broadcast
-- In the transaction that records them. With `tries` the others are sent only if the first one was accepted.
select case
  when set_config('outlast.broadcast_tries', %(tries)s, true) is not null
    then outlast.broadcast(%(workflows)s::text[], %(steps)s::text[])
end
