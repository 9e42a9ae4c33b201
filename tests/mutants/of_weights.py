"""Mutants of how much memory JSON is believed to take."""

from __future__ import annotations

from tests.mutants.mutant import Mutant

BUDGET = "core/budget.py"

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
)
