"""Work done in threads a little ahead of its reader."""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import Executor, Future
from itertools import islice
from typing import TypeVar

Item = TypeVar("Item")
Result = TypeVar("Result")


def prefetch(
    pool: Executor, function: Callable[[Item], Result], items: Iterable[Item], ahead: int
) -> Iterator[tuple[Item, Result]]:
    """Map in a pool, in order, at most ``ahead`` items before the one that is asked for."""
    waiting: deque[tuple[Item, Future[Result]]] = deque()
    iterator = iter(items)
    try:
        while True:
            waiting.extend((item, pool.submit(function, item)) for item in islice(iterator, ahead - len(waiting)))
            if not waiting:
                return
            item, future = waiting.popleft()
            yield item, future.result()
    finally:
        for _, future in waiting:
            future.cancel()


def prefetch_batches(
    pool: Executor, function: Callable[[Item], Result], items: Iterable[Item], size: int, ahead: int
) -> Iterator[list[tuple[Item, Result]]]:
    """The same in lists of ``size``, the last one maybe shorter, and at most ``ahead`` of them before."""
    found = prefetch(pool, function, items, size * ahead)
    while batch := list(islice(found, size)):
        yield batch
