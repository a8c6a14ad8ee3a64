"""Batches loaded ahead come in order, errors where they belong, and threads end with the loop."""

import threading
import time

import pytest

from cpt.model.training.prefetch import prefetched


@pytest.mark.parametrize("workers", [0, 1, 4])
def test_items_come_in_order_however_long_each_takes(workers):
    def load(number):
        time.sleep(0.002 * (number % 3))
        return number * number

    assert list(prefetched(load, range(20), workers)) == [number * number for number in range(20)]


@pytest.mark.parametrize("workers", [1, 3])
def test_no_more_than_two_per_worker_are_loaded_ahead(workers):
    loaded = []
    batches = prefetched(loaded.append, range(50), workers)
    next(batches)
    time.sleep(0.05)
    assert len(loaded) <= 2 * workers
    batches.close()
    assert len(loaded) <= 2 * workers


@pytest.mark.parametrize("workers", [0, 2])
def test_an_error_appears_at_its_item(workers):
    def load(number):
        if number == 3:
            raise ValueError("item 3 is damaged")
        return number

    batches = prefetched(load, range(10), workers)
    assert [next(batches) for _ in range(3)] == [0, 1, 2]
    with pytest.raises(ValueError, match="item 3"):
        next(batches)


def test_threads_end_when_the_loop_is_left():
    before = threading.active_count()
    for number in prefetched(lambda number: number, range(100), 4):
        if number == 5:
            break
    deadline = time.monotonic() + 5
    while threading.active_count() > before and time.monotonic() < deadline:
        time.sleep(0.01)
    assert threading.active_count() == before
