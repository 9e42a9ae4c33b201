"""Which version of a function a workflow is, and under which names it is known."""

from __future__ import annotations

from tests.mutants.mutant import Mutant

_DEPLOYS = "crash/test_versions.py::test_open_workflows_keep_their_version"
_RENAMED = "crash/test_versions.py::test_a_renamed_function"
_PLACES = "functions/test_versions.py::test_versions_stand_in_files_of_their_own"

MUTANTS = (
    Mutant("any-version-goes", "A version is a number", "functions/test_versions.py::test_bad_versions"),
    Mutant("any-alias-goes", "An alias is a name", "functions/test_versions.py::test_bad_aliases"),
    Mutant(
        "two-of-one-version",
        "Of each version there is one code",
        "functions/test_versions.py::test_what_meets",
    ),
    Mutant(
        "alias-of-another-function",
        "A former name is no other function's",
        "functions/test_versions.py::test_what_meets",
    ),
    Mutant("new-calls-take-any-version", "New calls take the highest version", _PLACES),
    Mutant("open-ones-take-the-newest", "Open workflows run as their own version", _PLACES, _DEPLOYS),
    Mutant("any-version-runs-it", "Without its version a workflow is held", _DEPLOYS),
    Mutant(
        "begun-without-a-version",
        "What SQL starts stays of the version that it began as",
        "engine/test_versions.py::test_what_bears_no_version_stays_what_it_began_as",
        _DEPLOYS,
    ),
    Mutant(
        "retry-leaves-its-version",
        "What is retried goes on as the version that its records are of",
        _DEPLOYS,
    ),
    Mutant(
        "forks-leave-their-version",
        "A fork with records is of the version that they are of",
        _DEPLOYS,
    ),
    Mutant("renamed-keys-are-new", "A key counts under all names of a function", _RENAMED),
    Mutant(
        "former-names-pass-the-queue",
        "What SQL starts under a former name waits in the function's queue",
        "functions/test_versions.py::test_a_former_name_is_of_the_same_queue",
    ),
    Mutant(
        "not-asked-is-new",
        "Who hasn't asked for a change may have passed it",
        "crash/test_versions.py::test_patches_say_when_the_old_branch_may_go",
    ),
    Mutant(
        "forks-are-new-to-changes",
        "A fork with records may have passed what its source has passed",
        "crash/test_versions.py::test_forks_and_failed_ones_may_have_passed_a_change_as_well",
    ),
    Mutant(
        "failed-ones-never-asked",
        "A failed one that hasn't asked may take the old branch when it is retried",
        "crash/test_versions.py::test_forks_and_failed_ones_may_have_passed_a_change_as_well",
    ),
    Mutant(
        "diverging-code-served",
        "Code that doesn't fit is not served, where that is asked for",
        "crash/test_replay_check.py::test_wrong_code_is_told_of_or_not_served",
    ),
    Mutant(
        "keys-of-later-names-unseen",
        "So does one that was used before the former name was given",
        "engine/test_versions.py::test_a_key_from_before_the_alias_was_given",
    ),
)
