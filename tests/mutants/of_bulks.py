"""Verbs that are done to many workflows, and what workflows are found by."""

from __future__ import annotations

from tests.mutants.mutant import Mutant

MUTANTS = (
    Mutant(
        "bulks-looked-at-in-part",
        "What a bulk gives fits the functions of all that its filter finds",
        "engine/test_operated.py::test_what_is_given_to_many_fits_the_last_of_them",
    ),
    Mutant(
        "bulks-of-what-does-not-fit",
        "What a bulk gives fits each function that this host serves",
        "engine/test_operated.py::test_what_is_given_to_many_fits_each_function",
    ),
    Mutant(
        "bulks-of-any-number",
        "A bulk begins only with as many workflows as were expected",
        "store/test_bulks.py::test_a_number_that_was_not_expected_does_nothing",
    ),
    Mutant(
        "bulks-of-what-came-meanwhile",
        "It goes on only if as many were fixed",
        "store/test_bulks.py::test_a_number_that_was_not_expected_does_nothing",
    ),
    Mutant(
        "held-bulk-stops-all",
        "A bulk whose row somebody holds keeps no other",
        "store/test_bulks.py::test_a_bulk_whose_row_somebody_holds_keeps_no_other",
    ),
    Mutant(
        "failing-bulk-stops-all",
        "A bulk that fails keeps no other",
        "store/test_bulks.py::test_a_bulk_that_fails_keeps_no_other[insert]",
    ),
    Mutant(
        "items-done-again",
        "What was done in an earlier block is not done again",
        "store/test_bulks.py::test_in_blocks_each_is_done_once",
    ),
    Mutant(
        "many-at-once-unused",
        "A block is one statement, where its verb has one; that leaves out what is locked",
        "store/test_bulks.py::test_a_row_that_another_holds_is_waited_for_and_comes_later",
    ),
    Mutant(
        "many-retried-unchecked",
        "Of many at once only those are retried that one alone would be",
        "store/test_bulks_at_once.py::test_at_once_as_one_by_one",
    ),
    Mutant(
        "children-of-many-stay-cancelled",
        "What was cancelled with many at once goes on with them",
        "store/test_bulks_at_once.py::test_at_once_as_one_by_one",
    ),
    Mutant(
        "one-bulk-by-two",
        "A block is done by one",
        "store/test_bulks.py::test_a_block_that_is_lost_was_not_done",
    ),
    Mutant(
        "bulks-tell-nobody",
        "Who waits for what a bulk has ended is told in that commit, and its children are cancelled",
        "store/test_bulks.py::test_children_of_what_is_cancelled_are_cancelled_in_the_same_commit",
    ),
    Mutant(
        "bulks-without-rate",
        "A bulk does so many a second",
        "store/test_bulks.py::test_a_rate_is_kept",
    ),
    Mutant(
        "cancelled-bulks-go-on",
        "A bulk that was cancelled does no more",
        "store/test_bulks.py::test_a_cancelled_or_paused_bulk_does_no_more",
    ),
    Mutant(
        "paused-bulks-go-on",
        "A bulk that is paused does nothing",
        "store/test_bulks.py::test_a_cancelled_or_paused_bulk_does_no_more",
    ),
    Mutant(
        "memory-cancelled-bulks-go-on",
        "In memory it does no more either",
        "store/test_bulks_alike.py::test_a_cancelled_or_paused_bulk_does_no_more",
    ),
    Mutant(
        "memory-paused-bulks-go-on",
        "In memory it does nothing while it is paused",
        "store/test_bulks_alike.py::test_a_cancelled_or_paused_bulk_does_no_more",
    ),
    Mutant(
        "memory-bulks-fixed-again",
        "In memory each workflow is fixed once",
        "store/test_bulks_alike.py::test_each_once_in_the_order_of_their_beginning",
    ),
    Mutant(
        "searches-without-end",
        "A page that isn't found in time is given up by the server",
        "store/test_pages.py::test_a_search_that_takes_too_long_is_given_up_once",
    ),
    Mutant(
        "bulks-answered-as-done",
        "A bulk that has begun is answered with 202",
        "http/test_bulks.py::test_it_is_done_to_all_and_shows_what_came_of_each",
    ),
    Mutant(
        "attributes-without-end",
        "A workflow has at most 32 attributes",
        "store/test_conformance.py::test_attributes_are_set_in_the_commit_of_their_record_if_the_fence_holds",
    ),
    Mutant(
        "attributes-without-fence",
        "Who lost a workflow sets none of its attributes",
        "store/test_conformance.py::test_attributes_are_set_in_the_commit_of_their_record_if_the_fence_holds",
    ),
    Mutant(
        "attributes-set-again",
        "A commit that arrives late sets no attributes again",
        "store/test_conformance.py::test_attributes_are_set_in_the_commit_of_their_record_if_the_fence_holds",
    ),
    Mutant(
        "memory-sets-attributes-again",
        "The database in memory doesn't either",
        "store/test_conformance.py::test_attributes_are_set_in_the_commit_of_their_record_if_the_fence_holds",
    ),
    Mutant(
        "attributes-only-recorded",
        "What a body sets is set in the commit of its record",
        "store/test_conformance.py::test_attributes_are_set_in_the_commit_of_their_record_if_the_fence_holds",
    ),
    Mutant(
        "attributes-for-anybody",
        "Attributes are given with a secret key alone",
        "http/test_attributes.py::test_only_a_secret_key_gives_them",
    ),
)
