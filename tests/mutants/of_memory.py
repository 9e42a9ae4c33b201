"""What is in memory at once, and whom a suspect keeps waiting."""

from __future__ import annotations

from tests.mutants.mutant import Mutant

MUTANTS = (
    Mutant(
        "given-back-once",
        "What could not be given back is given back later, with all that is known of it",
        "engine/test_memory.py::test_what_could_not_be_given_back_is_given_back_with_all_that_is_known_of_it",
    ),
    Mutant(
        "step-that-waits-works",
        "A step that waits for another workflow is in nobody's way",
        "engine/test_suspects.py::test_a_suspect_that_waits_for_another_in_any_way_lets_it_run[waits_in_a_step]",
    ),
    Mutant(
        "unwritten-suspect-keeps-others-out",
        "A suspect whose row refuses what it has come to keeps no other waiting",
        "engine/test_suspects.py::test_a_suspect_whose_end_can_not_be_written_keeps_no_other_waiting",
    ),
    Mutant(
        "suspects-beside-each-other",
        "A suspect whose own code runs is alone",
        "engine/test_suspects.py::test_a_suspect_that_waits_for_nothing_but_its_own_code_runs_alone",
    ),
    Mutant(
        "claims-without-budget",
        "What is claimed fits into the memory that is left",
        "engine/test_memory.py::test_small_ones_pass_a_large_one_until_it_has_waited_long",
    ),
    Mutant(
        "large-never-alone",
        "What is larger than all memory runs, alone",
        "engine/test_memory.py::test_what_is_larger_than_all_memory_runs_alone",
    ),
    Mutant(
        "small-pass-for-ever",
        "What is large and has waited long is passed by no more",
        "engine/test_memory.py::test_small_ones_pass_a_large_one_until_it_has_waited_long",
    ),
    Mutant(
        "records-without-budget",
        "Records are loaded only as far as there is memory for them",
        "engine/test_memory.py::test_records_count_too_and_what_is_learned_of_them_is_kept",
    ),
    Mutant(
        "large-calls-without-budget",
        "A large call is refused while there is no memory for it",
        "engine/test_memory.py::test_a_large_call_is_refused_before_a_row_exists_and_a_small_one_is_not",
    ),
    Mutant(
        "answers-without-bound",
        "Answers of the database end where they are as large as they may be",
        "store/test_sizes.py::test_what_workflows_returned_comes_in_parts[ended]",
    ),
    Mutant(
        "messages-without-budget",
        "What there is no memory for stays in its queue",
        "queues/test_consume.py::test_messages_are_taken_as_there_is_memory_for_them",
    ),
    Mutant(
        "records-weigh-nothing",
        "A record counts even where its texts are small",
        "engine/test_memory.py::test_many_small_records_count_too",
    ),
    Mutant(
        "replay-holds-the-loop",
        "A long replay lets others run",
        "engine/test_memory.py::test_a_history_of_100_000_steps_keeps_nobody_waiting",
    ),
    Mutant(
        "claim-without-limit",
        "A claim that takes long is given up, and holds up no beat",
        "engine/test_memory.py::test_a_claim_that_takes_long_holds_up_no_beat",
    ),
    Mutant(
        "what-waited-is-kept",
        "What leaves the memory is freed at once, not when the collector comes by",
        "engine/test_freed.py::test_nothing_is_left_for_the_collector[of_long_sleeps_in_a_thread]",
    ),
    Mutant(
        "what-failed-is-kept",
        "What has failed is freed at once, with all that its body held",
        "engine/test_freed.py::test_nothing_is_left_for_the_collector[of_sagas_that_undo]",
    ),
    Mutant(
        "what-was-cancelled-is-kept",
        "A step that was given up is freed at once, whatever it referred to",
        "engine/test_freed.py::test_nothing_is_left_for_the_collector[of_steps_given_up]",
    ),
)
