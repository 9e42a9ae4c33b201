"""Mutants of what the log, the listings and a host's stop tell."""

from __future__ import annotations

from tests.mutants.mutant import Mutant

FORMS = "observe/forms.py"
REQUESTS = "web/requests.py"
PAGE = "store/workflows.sql"

MUTANTS = (
    Mutant(
        "log-lines-forged",
        "Control characters in a record are written out",
        FORMS,
        "{escaped(record.getMessage())}",
        "{record.getMessage()}",
        unit=("test_log_forms.py::test_a_text_record_is_one_line",),
        http=("test_log.py::test_a_request_forges_no_line_and_moves_no_cursor",),
    ),
    Mutant(
        "traceback-lines-forged",
        "Each line of a traceback is marked",
        FORMS,
        'return [f"{MARK}{escaped(line)}" for line in text.split("\\n")]',
        'return text.split("\\n")',
        unit=(
            "test_log_forms.py::test_a_traceback_is_below_it_and_marked",
            "test_log_forms.py::test_a_recorded_traceback_is_marked_too",
        ),
    ),
    Mutant(
        "json-lines-forged",
        "JSON of the log escapes what readers of lines and terminals act on",
        FORMS,
        "redactor.redact(escaped_json(to_json(document, fallback=repr).decode()))",
        "redactor.redact(to_json(document, fallback=repr).decode())",
        unit=("test_log_forms.py::test_a_json_record_is_one_line_for_every_reader_of_lines",),
    ),
    Mutant(
        "records-nameless",
        "A record that a function makes names its workflow",
        FORMS,
        "                setattr(record, name, value)\n",
        "                pass\n",
        http=("test_log.py::test_a_functions_own_records_name_their_workflow",),
    ),
    Mutant(
        "our-records-misnamed",
        "A record of ours takes no workflow from the context that its task was made in",
        FORMS,
        "    here = None if ours else _here()\n",
        "    here = _here()\n",
        unit=("test_log_forms.py::test_records_of_functions_name_their_workflow_and_ours_do_so_themselves",),
    ),
    Mutant(
        "logging-fails",
        "Whoever logs doesn't fail for what can't be told beside",
        FORMS,
        "    here = None if ours else _here()\n",
        "    here = None if ours else known_context()\n",
        unit=("test_log_forms.py::test_whoever_logs_does_not_fail_for_what_is_told_beside",),
    ),
    Mutant(
        "extra-lost",
        "What a function says beside a record survives the context's logger",
        "sdk/context.py",
        '{**own, **(kwargs.get("extra") or {})}',
        "own",
        unit=("test_log_forms.py::test_what_the_caller_says_beside_a_record_survives",),
        http=("test_log.py::test_a_functions_own_records_name_their_workflow",),
    ),
    Mutant(
        "frames-unfolded",
        "Our own frames are one line of a traceback",
        "core/tracebacks.py",
        '    if "user" not in kinds:\n',
        "    if True:\n",
        unit=(
            "test_log_forms.py::test_our_own_frames_are_one_line_of_a_traceback",
            "test_log_forms.py::test_causes_and_groups_are_folded_too",
        ),
    ),
    Mutant(
        "request-log-unbounded",
        "No more requests are told of in a second than the setting says",
        REQUESTS,
        "        if self._told >= self._per_s_max:\n",
        "        if False:\n",
        web=("test_requests.py::test_no_more_than_so_many_a_second_and_how_many_were_left_out",),
    ),
    Mutant(
        "request-paths-uncut",
        "A path is told of at a bounded length",
        REQUESTS,
        "path if len(path) <= PATH_CHARS_MAX else",
        "path if True else",
        web=("test_requests.py::test_a_long_path_is_cut",),
    ),
    Mutant(
        "successes-logged",
        "Requests that were served have no line unless it is asked for",
        REQUESTS,
        '"errors": 400,',
        '"errors": 0,',
        web=("test_requests.py::test_which_are_told",),
    ),
    Mutant(
        "refused-unlogged",
        "What is no request has its line too",
        "host/protocol.py",
        '        self.tell_refused(self.client[0] if self.client else "", answer.status, problem.code)\n',
        "",
        http=("test_log.py::test_what_is_no_request_is_one_line_too",),
    ),
    Mutant(
        "exception-text-for-users",
        "A user neither sees nor finds the text of an exception",
        PAGE,
        "      case when %(subject)s::text is null\n        then nullif",
        "      case when true\n        then nullif",
        store=("test_pages.py::test_a_user_neither_sees_nor_finds_the_text_of_an_exception",),
    ),
    Mutant(
        "nul-breaks-the-list",
        "A NUL in an error's text breaks no list",
        PAGE,
        "replace(w.error::text, '\\u0000', '\\ufffd')::json",
        "w.error::text::json",
        store=("test_pages.py::test_errors_are_shown_and_found_by_their_text",),
    ),
    Mutant(
        "stop-untold",
        "A host says that it has stopped",
        "engine/engine.py",
        "        self._observe(InstanceStopped(",
        "        (lambda _: None)(InstanceStopped(",
        http=("test_log.py::test_a_host_says_that_it_stops_and_that_it_has",),
    ),
)
