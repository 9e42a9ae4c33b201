-- Published events are sent to Realtime.

-- name: broadcast
-- In the transaction that records them. With `tries` the other events are sent only if the first one was accepted. It checks
-- the clock between two events. A single event may take long, too, and all commits wait for it.
select case
  when set_config('outlast.broadcast_tries', %(tries)s, true) is not null then coalesce(
    outlast.broadcast(%(workflows)s::text[], %(steps)s::text[]),
    -- guard: realtime-slow-for-ever = null
    case when clock_timestamp() - statement_timestamp() > interval '1 s' then 'realtime.send held up a commit' end
  )
end
