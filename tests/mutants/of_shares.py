"""What one caller may take of an instance."""

from __future__ import annotations

from tests.mutants.mutant import Mutant

MUTANTS = (
    Mutant(
        "connections-without-end",
        "A process takes no more connections than its descriptors allow",
        "http/test_connections.py::test_slow_heads_do_not_put_health_out_of_reach",
    ),
    Mutant(
        "reserve-for-everything",
        "The connections beyond the limit are for health checks alone",
        "http/test_connections.py::test_where_all_are_answered_health_still_is",
    ),
    Mutant(
        "anybody-says-who-calls",
        "Of a caller's address only trusted proxies are believed",
        "web/test_addresses.py::test_nobody_else_is_believed",
    ),
    Mutant(
        "running-without-end",
        "Workflows that a caller doesn't wait for count",
        "http/test_shares.py::test_calls_that_are_not_waited_for_count",
    ),
    Mutant(
        "requests-without-end",
        "A caller has so many requests a second",
        "http/test_shares.py::test_so_many_requests_a_second",
    ),
    Mutant(
        "stored-without-end",
        "What lies in the database of a user counts",
        "web/test_stored.py::test_who_has_as_many_as_may_be_starts_none",
    ),
    Mutant(
        "all-strangers-one",
        "Anonymous callers are told apart by address",
        "http/test_shares.py::test_anonymous_callers_are_told_apart_by_address",
    ),
    Mutant(
        "bytes-of-a-caller",
        "One caller's bodies have a bound",
        "http/test_body_budget.py::test_one_callers_bodies_are_bounded_before_they_are_read",
        "http/test_body_budget.py::test_a_chunked_body_takes_as_it_grows",
    ),
    Mutant(
        "bytes-of-an-instance",
        "All bodies together have a bound",
        "http/test_body_budget.py::test_all_bodies_of_an_instance_are_bounded",
    ),
    Mutant(
        "answers-without-budget",
        "Large answers that aren't read yet have a bound together",
        "unit/test_large_answers.py::test_what_finds_no_room_is_made_anew_when_its_turn_comes",
        "unit/test_large_answers.py::test_a_caller_with_no_room_left_holds_up_no_other",
    ),
    Mutant(
        "answers-in-one-piece",
        "A large answer is handed to its connection as its client reads",
        "unit/test_reply.py::test_a_large_body_is_sent_in_pieces",
    ),
    Mutant(
        "reader-that-takes-nothing",
        "A client that reads nothing of a large answer is cut off",
        "hostile/test_silence.py::test_a_client_that_reads_nothing_of_a_large_answer_is_cut_off",
    ),
    Mutant(
        "room-taken-late",
        "The room of a body is taken before it is read",
        "http/test_body_budget.py::test_one_callers_bodies_are_bounded_before_they_are_read",
        "http/test_body_budget.py::test_all_bodies_of_an_instance_are_bounded",
    ),
    Mutant(
        "room-never-given-back",
        "The room of a body is given back at the call's end",
        "http/test_body_budget.py::test_all_bodies_of_an_instance_are_bounded",
    ),
    Mutant(
        "values-weigh-nothing",
        "What JSON unfolds into counts in the budget",
        "http/test_body_budget.py::test_values_count_beside_their_text",
    ),
    Mutant(
        "unbounded-unfolding",
        "JSON with too many values is refused before it is read",
        "http/test_body_budget.py::test_what_unfolds_into_too_much_is_refused",
        "http/test_body_budget.py::test_a_handler_that_reads_json_is_guarded",
    ),
    Mutant(
        "read-on-the-loop",
        "A large body is read in a thread",
        "http/test_body_budget.py::test_while_a_large_body_is_read_others_are_served",
    ),
)
