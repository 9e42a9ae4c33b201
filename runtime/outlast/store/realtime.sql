-- Published events on their way to Realtime.

-- name: broadcast
-- In the transaction that has recorded them. With `tries` the first must be taken before the others are sent.
select case
  when set_config('outlast.broadcast_tries', %(tries)s, true) is not null
    then outlast.broadcast(%(workflows)s::text[], %(steps)s::text[])
end
