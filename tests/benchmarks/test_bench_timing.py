"""The timer against calls of known length."""

import gc
import statistics
import time

import pytest
import torch
from bench_jobs import DEVICES

from seqscale.benchmarks import Summary, measure
from seqscale.benchmarks.timing import FEWEST, LEAST, LONG, PATIENCE, _enough


def spin(seconds: float) -> None:
    end = time.perf_counter() + seconds
    while time.perf_counter() < end:
        pass


class Watched:
    """A wait that notes how long it really took: on a busy machine longer than asked for."""

    def __init__(self, wait, seconds: float) -> None:
        self.wait, self.seconds, self.took = wait, seconds, []

    def __call__(self) -> None:
        began = time.perf_counter()
        self.wait(self.seconds)
        self.took.append(time.perf_counter() - began)


@pytest.mark.parametrize("wait", [time.sleep, spin], ids=["sleep", "spin"])
def test_a_known_wait_is_measured(wait) -> None:
    call = Watched(wait, 0.01)
    found = measure(call, repeats=5, min_seconds=0.0)
    assert 0.01 <= found.p20 <= found.median <= found.p80
    assert found.repeats == 5
    real = statistics.median(call.took[-5:])
    assert real <= found.median <= 1.5 * real


def test_a_fast_call_is_repeated_until_the_time_is_up() -> None:
    call = Watched(spin, 0.001)
    found = measure(call, repeats=3, min_seconds=0.05)
    assert 3 <= found.repeats <= 50
    assert sum(call.took[-found.repeats :]) >= 0.03


def test_a_slow_call_is_not_repeated_more_than_patience_allows() -> None:
    calls = []
    found = measure(lambda: (calls.append(0), time.sleep(0.02)), repeats=100, min_seconds=0.01)
    assert found.repeats == max(LEAST, PATIENCE)
    assert len(calls) == found.repeats + 1, "one warm-up: a second would cost too much of min_seconds"


@pytest.mark.parametrize(("seconds", "least"), [(LONG * 0.9, LEAST), (LONG, FEWEST), (60.0, FEWEST)])
def test_only_calls_of_seconds_are_called_fewer_than_seven_times(seconds: float, least: int) -> None:
    taken = next(n for n in range(1, 100) if _enough(n, n * seconds, repeats=20, min_seconds=0.05))
    assert taken == least


def test_the_first_calls_are_not_timed() -> None:
    waits = iter([0.03, 0.0, 0.0])
    found = measure(lambda: time.sleep(next(waits, 0.0)), repeats=5, min_seconds=0.2)
    assert found.p80 < 0.02


def test_garbage_collection_rests_while_timing_and_wakes_after_a_failure() -> None:
    seen = []
    measure(lambda: seen.append(gc.isenabled()), repeats=3, min_seconds=0.0)
    assert not any(seen)
    assert gc.isenabled()
    with pytest.raises(ZeroDivisionError):
        measure(lambda: 1 / 0, repeats=3, min_seconds=0.0)
    assert gc.isenabled()


def test_a_summary_is_median_and_percentiles() -> None:
    found = Summary.of([5.0, 1.0, 2.0, 3.0, 4.0, 6.0])
    assert (found.median, found.p20, found.p80, found.repeats) == (3.5, 2.0, 5.0, 6)
    assert found / 2 == Summary(1.75, 1.0, 2.5, 6)


@pytest.mark.parametrize("device", DEVICES[1:])
def test_a_device_is_timed_to_the_end_of_its_work(device: str) -> None:
    a = torch.randn(4096, 4096, device=device)

    def work() -> None:
        for _ in range(20):
            a @ a

    by_events = measure(work, repeats=5, min_seconds=0.0, device=device).median
    began = time.perf_counter()
    work()
    torch.cuda.synchronize()
    assert by_events == pytest.approx(time.perf_counter() - began, rel=0.5)
