-- Bulks: outlast.run_bulk does what is due.

-- name: run
select ran, next_s from outlast.run_bulk()
