"""Mutants of how much memory JSON is believed to take."""

from __future__ import annotations

from tests.mutants.mutant import Mutant

BUDGET = "core/budget.py"
ALLOWANCE = "engine/allowance.py"
MEMORY = "test_memory.py"

MUTANTS = (
    Mutant(
        "dense-weighs-its-text",
        "Dense JSON weighs what it takes in memory",
        BUDGET,
        "    return size + count_structure(text) * (VALUE_BYTES // FACTOR)\n",
        "    return size\n",
        store=("test_weights.py::test_dense_json_weighs_what_it_takes",),
    ),
    Mutant(
        "wide-weighs-its-length",
        "A text weighs by its widest character",
        BUDGET,
        "    size = len(text) if text.isascii() else getsizeof(text)\n",
        "    size = len(text)\n",
        store=("test_weights.py::test_a_text_weighs_by_its_widest_character",),
    ),
    Mutant(
        "starts-weigh-nothing",
        "Who starts a workflow says what it weighs",
        "engine/engine.py",
        "            load_bytes=weigh(text),\n",
        "",
        engine=("test_memory.py::test_every_way_to_start_says_what_it_weighs",),
    ),
    Mutant(
        "calls-weigh-nothing",
        "A call's input and request are weighed",
        "web/invoke.py",
        "            load_bytes=weigh(input_text, request),\n",
        "",
        http=("test_bodies.py::test_what_a_call_weighs_is_kept",),
    ),
    Mutant(
        "untold-weigh-nothing",
        "A row that doesn't say what it weighs is weighed by the claim",
        "store/instances.sql",
        "      + 25 * (char_length(f.unweighed)",
        "      + 0 * (char_length(f.unweighed)",
        store=("test_weights.py::test_who_starts_says_it_and_a_claim_goes_by_it",),
    ),
    Mutant(
        "messages-weigh-their-text",
        "A queue's message weighs what it takes in memory",
        "store/queues.sql",
        "      + 25 * (char_length(n.message)",
        "      + 0 * (char_length(n.message)",
        queues=("test_consume.py::test_a_message_weighs_what_it_takes_in_memory",),
    ),
    Mutant(
        "waiting-parents-without-end",
        "Large parents that wait keep large newcomers out",
        ALLOWANCE,
        "left(taken.active + taken.waiting), lone and",
        "left(taken.active), lone and",
        engine=(f"{MEMORY}::test_large_parents_that_wait_keep_large_newcomers_out_and_no_child",),
    ),
    Mutant(
        "waiting-parents-one-after-the-other",
        "Where those that wait hold all memory, another one comes seldom",
        ALLOWANCE,
        "        lone = not self.held(taken) or monotonic() >= self._lone_at\n",
        "        lone = True\n",
        engine=(f"{MEMORY}::test_large_parents_that_wait_keep_large_newcomers_out_and_no_child",),
    ),
    Mutant(
        "waiting-parents-for-ever",
        "Where those that wait hold all memory, what they wait for comes in the end",
        ALLOWANCE,
        "        lone = not self.held(taken) or monotonic() >= self._lone_at\n",
        "        lone = not self.held(taken)\n",
        engine=(f"{MEMORY}::test_what_waits_for_what_is_not_loaded_ends_though_they_hold_all_memory",),
    ),
    Mutant(
        "calls-beside-waiting-parents",
        "A large call is refused while parents that wait hold the memory",
        "engine/engine.py",
        "self._budget.fits(self._used_bytes(new.load_bytes), new.load_bytes)",
        "self._budget.fits(self._used_bytes(), new.load_bytes)",
        engine=(f"{MEMORY}::test_large_parents_that_wait_keep_large_newcomers_out_and_no_child",),
    ),
    Mutant(
        "places-of-the-large",
        "What doesn't fit takes no place of those that are looked at",
        "store/instances.sql",
        "    and (%(strict)s or case when w.parent is null",
        "    and (true or case when w.parent is null",
        engine=(f"{MEMORY}::test_large_ones_that_do_not_fit_leave_their_places_to_those_behind",),
    ),
    Mutant(
        "given-back-to-the-end",
        "What is given back unused has waited as long as before",
        "store/instances.sql",
        "claimable_at = coalesce(to_timestamp(r.due), now())",
        "claimable_at = now()",
        engine=(f"{MEMORY}::test_what_is_given_back_has_waited_as_long_as_before",),
    ),
    Mutant(
        "claims-without-rest",
        "After a failure to load, nothing is claimed for a while",
        "engine/membership.py",
        "            room = 0\n            self._wake_by(",
        "            self._wake_by(",
        engine=(f"{MEMORY}::test_what_could_not_be_loaded_is_not_claimed_again_at_once",),
    ),
    Mutant(
        "broken-comes-first",
        "What can't be read keeps nobody waiting",
        "engine/loading.py",
        "                    broken.due_s = self._clock.now_s() + BROKEN_S\n",
        "                    pass\n",
        engine=(f"{MEMORY}::test_what_cannot_be_read_keeps_nobody_waiting",),
    ),
)
