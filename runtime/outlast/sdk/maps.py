"""`map_`: a workflow for each of many items, a limited number at a time, and their results in pages."""

from __future__ import annotations

from collections.abc import AsyncIterable, Callable, Generator, Iterable, Iterator, Sequence
from functools import partial
from typing import Any, Generic, Literal, TypeVar, overload

from outlast.core.codec import decode_answer
from outlast.core.errors import DatabaseUnavailable, UsageError, WorkflowNotFound
from outlast.core.maps import CONCURRENCY_MAX, KEY_CHARS_MAX, ItemEnd, Query
from outlast.core.names import item_key_of
from outlast.core.status import Status
from outlast.core.storable import check_text
from outlast.sdk.calls import ask
from outlast.sdk.definitions import WorkflowDefinition
from outlast.sdk.operations import Generated, Map
from outlast.sdk.running import current_host, current_line, line_in_body
from outlast.sdk.starting import definition_of, list_of
from outlast.sdk.workflows import Workflow

T = TypeVar("T")
R = TypeVar("R")

PAGE = 1_000
"""How many results are read at once, and kept in memory."""


class rows:  # noqa: N801 - written like a call
    """The items of a map from a query: `rows("select id from orders where day = %s", day)`.

    The query runs once, when the map begins, in the host's role. Its rows are stored, so a crash neither
    repeats nor skips one. A row of one column is its value, a row of several columns an object. At most
    1,000,000.
    """

    def __init__(self, query: str, *parameters: Any) -> None:
        if not isinstance(query, str) or not query.strip():
            raise UsageError(
                f'rows takes a query and its parameters: rows("select …", …), not {query!r:.100}'
            )
        self.query = Query(query, parameters)


class MapResult(Sequence[R]):
    """The results of a map's items, in their order. Reading an item that failed raises its error.

    `ok` has key and value of each item that succeeded, `failed` key and error of each other one. The key is
    the item's place from 0, or what `key=` made of it. Results are read in pages, and only one page is kept
    in memory.
    """

    def __init__(
        self,
        map_id: str,
        workflow: WorkflowDefinition,
        total: int,
        failed: int,
        keys: Sequence[str] | None,
        *,
        kept: bool,
    ) -> None:
        """`kept`: the store knows the keys."""
        self.map_id = map_id
        self._workflow = workflow
        self._total = total
        self._failed = failed
        self._keys = keys
        self._kept = kept
        self._first = 0
        self._page: list[ItemEnd] = []

    def __repr__(self) -> str:
        return f"<MapResult {self.map_id}: {self._total} items, {self._failed} failed>"

    def __await__(self) -> Generator[Any, Any, MapResult[R]]:
        yield from ()
        return self

    def __len__(self) -> int:
        return self._total

    @overload
    def __getitem__(self, place: int, /) -> R: ...
    @overload
    def __getitem__(self, place: slice, /) -> list[R]: ...
    def __getitem__(self, place: int | slice, /) -> R | list[R]:
        if isinstance(place, slice):
            return [self._value(self._end(each)) for each in range(*place.indices(self._total))]
        if not -self._total <= place < self._total:
            raise IndexError(f"the map has {self._total} items")
        return self._value(self._end(place % self._total))

    def __iter__(self) -> Iterator[R]:
        for place in range(self._total):
            yield self._value(self._end(place))

    @property
    def ok(self) -> Items[R]:
        """Key and value of each item that succeeded."""
        return Items(self._total - self._failed, self._each_ok)

    @property
    def failed(self) -> Items[Exception]:
        """Key and error of each item that didn't succeed."""
        return Items(self._failed, self._each_failed)

    def _each_ok(self) -> Iterator[tuple[int | str, R]]:
        for place in range(self._total):
            end = self._end(place)
            if end.status is Status.SUCCESS:
                yield self._key(end), self._value(end)

    def _each_failed(self) -> Iterator[tuple[int | str, Exception]]:
        after = ""
        while page := self._read_failures(after):
            for end in page:
                yield self._key(end), self._error(end)
            after = page[-1].workflow_id

    def _read_failures(self, after: str) -> list[ItemEnd]:
        return self._read(lambda host: host.read_failures(self.map_id, after, PAGE))

    def _key(self, end: ItemEnd) -> int | str:
        key = end.workflow_id[len(self.map_id) + 1 :]
        return key if self._kept or self._keys is not None else int(key)

    def _value(self, end: ItemEnd) -> R:
        if end.status is not Status.SUCCESS:
            raise self._error(end)
        value: R = decode_answer(self._workflow.codec, end.output or "null")
        return value

    def _error(self, end: ItemEnd) -> Exception:
        host = current_host()
        assert host is not None
        return host.error_of(end, self._workflow)

    def _end(self, place: int) -> ItemEnd:
        if not 0 <= place - self._first < len(self._page):
            first = place - place % PAGE
            count = min(PAGE, self._total - first)
            ids = None if self._kept else [self._id(each) for each in range(first, first + count)]
            page = self._read(lambda host: host.read_items(self.map_id, ids, first, count))
            if len(page) < count:
                raise WorkflowNotFound(f"results of {self.map_id} were removed: they can't be read any more")
            self._first, self._page = first, page
        return self._page[place - self._first]

    def _id(self, place: int) -> str:
        return f"{self.map_id}/{place if self._keys is None else self._keys[place]}"

    def _read(self, read: Callable[[Any], list[ItemEnd]]) -> list[ItemEnd]:
        host = current_host()
        if host is None:
            raise UsageError("results of a map are read in its workflow, or in a step of it")
        try:
            return read(host)
        except DatabaseUnavailable as error:
            line = current_line()
            if line is None:
                raise
            # Not raised in the body: on replay the results can be read, so the body must not see that they
            # can't now.
            line.body.leave(f"results can't be read now: {error}")


class Items(Iterable[tuple[int | str, T]], Generic[T]):
    """Keys of items and their results. The length is known without reading them."""

    def __init__(self, count: int, each: Callable[[], Iterator[tuple[int | str, T]]]) -> None:
        self._count = count
        self._each = each

    def __len__(self) -> int:
        return self._count

    def __iter__(self) -> Iterator[tuple[int | str, T]]:
        return self._each()


def map_(
    workflow: Workflow[..., R],
    items: Iterable[T] | AsyncIterable[T] | rows,
    /,
    *,
    key: Callable[[Any], str | int] | None = None,
    concurrency: int = 100,
    tolerate: float = 0,
    on_fail: Literal["drain", "cancel"] = "drain",
) -> MapResult[R]:
    """Run `workflow` for each of `items`, its only argument, and wait for all of them.

    `await map_(…)` in an `async def` workflow, `map_(…)` in a `def` one. `items` is a list of at most 10,000,
    or of at most 1,000,000 `rows("select …")`, or what a step yields that is a generator. Each item is a
    workflow `PARENT/map.STEP/KEY`; the key is its place, or what `key` makes of it (a text of at most 100
    characters, or a whole number; no two the same; `~` and digits at its end become `%7E`, as ids of forks
    end so).
    At most `concurrency` of them run at a time, over all instances.

    When more than `tolerate` of them fail (a count, or as a float a share of all), no more begin; those that
    run go on to their end, or with `on_fail="cancel"` are cancelled. Then MapFailed is raised. Raises
    UsageError for what can't work, and InvalidInput for an item of a list that doesn't fit.
    """
    definition = definition_of("map_", workflow)
    if definition.queue is not None:
        raise UsageError(
            f"map_ lets its items wait in a queue of its own, and {definition.name!r} has one already: map "
            "over a workflow without a queue that starts it, or use start_all"
        )
    _check_options(key, concurrency, tolerate, on_fail)
    line = line_in_body("map_", "belongs in a workflow's body; elsewhere start a workflow that maps")
    keys: Any = None
    if isinstance(items, rows | Generated):
        given: Any = items.query if isinstance(items, rows) else items
        keys = None if key is None else partial(_key_of, key)
    else:
        given = list_of("map_", items)
        keys = None if key is None else _keys_of(key, given)
    known = None if callable(keys) else keys
    kept = callable(keys)

    def read(told: dict[str, Any]) -> MapResult[Any]:
        return MapResult(told["of"], definition, told["total"], told["failed"], known, kept=kept)

    return ask(Map(definition, given, keys, concurrency, tolerate, on_fail), line, "map_", read)  # type: ignore[no-any-return]


def _check_options(key: Any, concurrency: Any, tolerate: Any, on_fail: Any) -> None:
    if key is not None and not callable(key):
        raise UsageError(f"map_(key) is a function of an item, not {key!r:.100}")
    if type(concurrency) is not int or not 1 <= concurrency <= CONCURRENCY_MAX:
        raise UsageError(
            f"map_(concurrency) is a whole number from 1 to {CONCURRENCY_MAX:,}, not {concurrency!r:.100}"
        )
    counts = type(tolerate) is int and tolerate >= 0
    shares = type(tolerate) is float and 0 <= tolerate <= 1
    if not counts and not shares:
        raise UsageError(
            "map_(tolerate) is how many items may fail (3) or which share of them (0.05), "
            f"not {tolerate!r:.100}"
        )
    if on_fail not in ("drain", "cancel"):
        raise UsageError(f'map_(on_fail) is "drain" or "cancel", not {on_fail!r:.100}')


def _keys_of(key: Callable[[Any], str | int], items: Sequence[Any]) -> list[str]:
    places: dict[str, int] = {}
    for place, item in enumerate(items):
        found = _key_of(key, item)
        # guard: one-key-for-two
        if found in places:
            raise UsageError(
                f"map_(key) gives {found!r} for the items {places[found]} and {place}: each needs its own"
            )
        places[found] = place
    return list(places)


def _key_of(key: Callable[[Any], str | int], item: Any) -> str:
    found: Any = key(item)
    text = str(found) if type(found) is int else found
    if (
        not isinstance(text, str)
        or not 1 <= len(text) <= KEY_CHARS_MAX
        or not text.isprintable()
        or "/" in text
    ):
        raise UsageError(
            f"map_(key) gives a text of 1 to {KEY_CHARS_MAX} printable characters without a slash, or a "
            f"whole number, not {found!r:.100} (of {item!r:.100})"
        )
    check_text(text, "map_(key)")
    # guard: items-with-ids-of-forks = text
    return item_key_of(text)
