"""Loading batches ahead in threads; the order is kept, so results do not depend on it."""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from typing import TypeVar

Item = TypeVar("Item")
Batch = TypeVar("Batch")


def prefetched(load: Callable[[Item], Batch], items: Iterable[Item], workers: int) -> Iterator[Batch]:
    """``load`` of every item in order, up to two per worker ahead; 0 workers: when asked for."""
    if not workers:
        yield from map(load, items)
        return
    waiting: deque[Future[Batch]] = deque()
    with ThreadPoolExecutor(workers) as pool:
        try:
            for item in items:
                waiting.append(pool.submit(load, item))
                if len(waiting) >= 2 * workers:
                    yield waiting.popleft().result()
            while waiting:
                yield waiting.popleft().result()
        finally:
            for future in waiting:
                future.cancel()
