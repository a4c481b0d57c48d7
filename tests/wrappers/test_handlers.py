"""The decorators of handlers, on a virtual clock: nothing here waits."""

from __future__ import annotations

import asyncio
import contextlib
import functools
import itertools
import math
import threading
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from spec_envs import CancelToken, Effect, Usage
from spec_envs.errors import CallCancelled, HandlerFailed, InvalidConfiguration, RecordMissing
from spec_envs.handling import is_async
from spec_envs.testing import FakeEnv
from spec_envs.wrappers import AsyncSpeculativeWrapper
from spec_envs.wrappers.cache import cached
from spec_envs.wrappers.handlers import (
    DecoratedHandler,
    metered,
    rate_limited,
    record,
    replay,
    retry,
    with_latency,
)
from spec_envs.wrappers.latency import exponential, lognormal
from spec_envs.wrappers.recording import Record, Recording
from tests.virtual_time import run


class VirtualToken(CancelToken):
    """A token whose waits only move its own clock; it is cancelled when that passes ``cancel_at``."""

    def __init__(self, start: float = 0.0, cancel_at: float = math.inf) -> None:
        super().__init__()
        self.time = start
        self.cancel_at = cancel_at

    def _now(self) -> float:
        return self.time

    def _wait(self, seconds: float) -> None:
        self.time = min(self.time + seconds, self.cancel_at)
        if self.time >= self.cancel_at:
            self.cancel()


class Echo:
    """Answers with its query; counts its calls and remembers when they started."""

    effect = Effect.READ

    def __init__(self) -> None:
        self.starts: list[float] = []
        self.closed = False

    def __call__(self, query, cancel):
        self.starts.append(cancel.now())
        return query

    def close(self) -> None:
        self.closed = True


class Flaky:
    """Fails ``failures`` times, then answers."""

    def __init__(self, failures: int, error: Exception | None = None) -> None:
        self.failures = failures
        self.error = error or OSError("line is down")
        self.calls = 0

    def __call__(self, query):
        self.calls += 1
        if self.calls <= self.failures:
            raise self.error
        return query


DECORATORS = {
    "with_latency": lambda handler: with_latency(handler, 1.0),
    "record": lambda handler: record(handler, Recording()),
    "replay": lambda handler: replay(Recording(), missing=handler),
    "retry": lambda handler: retry(handler, 2),
    "rate_limited": lambda handler: rate_limited(handler, 1, 1.0),
    "metered": lambda handler: metered(handler, Usage(1)),
}


@pytest.mark.parametrize("decorate", DECORATORS.values(), ids=DECORATORS)
class TestEveryDecorator:
    def test_answers_like_the_inner_handler(self, decorate):
        assert decorate(Echo())("hello", VirtualToken()) == "hello"

    def test_takes_a_callable_of_the_query_alone(self, decorate):
        assert decorate(str.upper)("hello", VirtualToken()) == "HELLO"

    def test_keeps_the_effect_and_forwards_close(self, decorate):
        inner = Echo()
        outer = decorate(decorate(inner))
        assert outer.effect is Effect.READ
        outer.close()
        assert inner.closed

    def test_has_no_effect_of_its_own_and_closes_what_cannot_be_closed(self, decorate):
        outer = decorate(str.upper)
        assert not hasattr(outer, "effect")
        outer.close()

    def test_runs_on_the_wall_clock(self, decorate):
        token = CancelToken()
        token.cancel()
        waits = decorate in (DECORATORS["with_latency"], DECORATORS["rate_limited"])
        if waits:
            with pytest.raises(CallCancelled):
                decorate(Echo())("hello", token)
        else:
            assert decorate(Echo())("hello", token) == "hello"


QUICK = DECORATORS | {
    "with_latency": lambda handler: with_latency(handler, 0.001),
    "rate_limited": lambda handler: rate_limited(handler, 1, 0.001),
}
WITHOUT_A_TOKEN = QUICK | {
    "cached": cached,
    "DecoratedHandler": lambda handler: DecoratedHandler(handler, pass_on),
    "a stack of all": lambda handler: functools.reduce(
        lambda inner, decorate: decorate(inner), QUICK.values(), handler
    ),
}


async def pass_on(inner, query, cancel):
    return await inner(query, cancel)


def upper(query):
    return query.upper()


async def upper_async(query):
    await asyncio.sleep(0)
    return query.upper()


async def upper_async_with_token(query, cancel):
    await cancel.asleep(0.001)
    return query.upper()


@pytest.mark.parametrize("name", WITHOUT_A_TOKEN)
def test_every_decorated_handler_may_be_called_with_the_query_alone(name):
    decorate = WITHOUT_A_TOKEN[name]
    with contextlib.closing(decorate(upper)) as handler:
        assert handler("a") == "A" == handler("a", cancel=CancelToken())
    for function in (upper_async, upper_async_with_token):
        with contextlib.closing(decorate(function)) as handler:
            assert asyncio.run(handler("a")) == "A"


def test_a_coroutine_function_without_a_token_waits_on_the_running_loop():
    async def main():
        slow, loop = with_latency(upper_async, 1.0), asyncio.get_running_loop()
        assert list(await asyncio.gather(slow("a"), slow("b"))) == ["A", "B"]
        return loop.time()

    assert run(main) == 1.0  # virtual seconds: one wait beside the other


class TestWithLatency:
    def test_waits_before_the_call(self):
        inner, token = Echo(), VirtualToken(start=5.0)
        with_latency(inner, 2.0)("q", token)
        assert inner.starts == [7.0]

    def test_a_call_cancelled_meanwhile_does_no_work(self):
        inner = Echo()
        with pytest.raises(CallCancelled):
            with_latency(inner, 2.0)("q", VirtualToken(cancel_at=1.0))
        assert inner.starts == []

    def test_the_latency_may_depend_on_the_query(self):
        token = VirtualToken()
        with_latency(Echo(), len)("four", token)
        assert token.time == 4.0

    @pytest.mark.parametrize("seconds", [-1.0, math.nan])
    def test_refuses_a_time_that_makes_no_sense(self, seconds):
        with pytest.raises(InvalidConfiguration, match=r"seconds must be a number of at least 0, not (-1\.0|nan)"):
            with_latency(Echo(), seconds)
        with pytest.raises(InvalidConfiguration, match="seconds must be a number of at least 0"):
            with_latency(Echo(), lambda query: seconds)("q", VirtualToken())


class TestDistributions:
    def test_equal_queries_take_equally_long(self):
        for seconds_of in (exponential(2.0), lognormal(2.0, 0.4)):
            assert seconds_of(("a", {"b": 1})) == seconds_of(("a", {"b": 1}))
            assert seconds_of("a") != seconds_of("b")

    def test_are_the_same_in_every_process(self):
        query = ("text", 1, 2.5, b"bytes", frozenset({"x", "y", "z"}), np.arange(3), None)
        assert exponential(1.0)(query) == pytest.approx(0.7830962537583764, rel=1e-12)

    def test_the_seed_makes_another_draw(self):
        assert exponential(1.0, seed=1)("q") != exponential(1.0, seed=2)("q")

    def test_have_the_moments_that_they_name(self):
        times = [exponential(3.0)(query) for query in range(20_000)]
        assert np.mean(times) == pytest.approx(3.0, rel=0.03)
        assert np.std(times) == pytest.approx(3.0, rel=0.05)
        logs = np.log([lognormal(2.0, 0.4)(query) for query in range(20_000)])
        assert np.mean(logs) == pytest.approx(math.log(2.0), abs=0.01)
        assert np.std(logs) == pytest.approx(0.4, rel=0.03)

    def test_refuse_what_makes_no_sense(self):
        with pytest.raises(InvalidConfiguration, match="mean_s must be finite and at least 0, not -1"):
            exponential(-1.0)
        with pytest.raises(InvalidConfiguration, match="sigma must be finite and at least 0, not inf"):
            lognormal(1.0, math.inf)


class TestRecordAndReplay:
    def test_records_response_time_and_cost(self):
        recording = Recording()
        handler = record(metered(with_latency(Echo(), 2.0), Usage(10, 5, 0.25)), recording)
        token = VirtualToken(start=100.0)
        token.spend(Usage(1000))  # what was spent before is not this call's
        handler("q", token)
        assert list(recording) == [Record("q", "q", 2.0, Usage(10, 5, 0.25))]

    def test_does_not_record_what_failed(self):
        recording = Recording()
        with pytest.raises(OSError, match="line is down"):
            record(Flaky(1), recording)("q", VirtualToken())
        assert len(recording) == 0

    def test_replays_response_time_and_cost(self):
        recording = Recording([Record("q", "r", 4.0, Usage(8, 2))])
        token = VirtualToken()
        assert replay(recording)("q", token) == "r"
        assert token.time == 4.0
        assert token.usage(at=1.0) == (Usage(2.0, 0.5), Usage(8, 2))

    @pytest.mark.parametrize(("speed", "seconds"), [(2.0, 2.0), (math.inf, 0.0)])
    def test_replays_faster(self, speed, seconds):
        token = VirtualToken()
        replay(Recording([Record("q", "r", 4.0)]), speed=speed)("q", token)
        assert token.time == seconds

    def test_a_query_recorded_twice_has_its_first_response(self):
        handler = replay(Recording([Record("q", "first"), Record("q", "second")]))
        assert [handler("q", VirtualToken()) for _ in range(3)] == ["first"] * 3

    def test_queries_are_told_apart_by_type(self):
        handler = replay(Recording([Record(1, "int"), Record(1.0, "float"), Record(True, "bool")]))
        assert [handler(query, VirtualToken()) for query in (1.0, True, 1)] == ["float", "bool", "int"]

    def test_a_missing_query_is_named(self):
        with pytest.raises(RecordMissing, match=r"\(of 1 calls\) has no response to 'unknown'; record it, or name"):
            replay(Recording([Record("q", "r")]))("unknown", VirtualToken())

    def test_a_missing_query_goes_to_the_handler_named(self):
        handler = replay(Recording([Record("q", "r")]), missing=str.upper)
        assert handler("unknown", VirtualToken()) == "UNKNOWN"
        assert handler("q", VirtualToken()) == "r"

    def test_refuses_a_speed_that_makes_no_sense(self):
        with pytest.raises(InvalidConfiguration, match="speed must be above 0, not 0"):
            replay(Recording(), speed=0)


class TestRetry:
    def test_tries_again_and_waits_twice_as_long_each_time(self):
        inner, token = Flaky(3), VirtualToken()
        assert retry(inner, 4, backoff_s=1.0)("q", token) == "q"
        assert (inner.calls, token.time) == (4, 1.0 + 2.0 + 4.0)

    def test_gives_up_with_the_last_error_as_the_cause(self):
        error = OSError("line is down")
        with pytest.raises(HandlerFailed, match="gave up after 2 attempts; the last failed with OSError") as caught:
            retry(Flaky(9, error), 2)("q", VirtualToken())
        assert caught.value.__cause__ is error

    def test_other_errors_are_raised_as_they_are(self):
        inner = Flaky(1, ValueError("bad query"))
        with pytest.raises(ValueError, match="bad query"):
            retry(inner, 3, on=(OSError,))("q", VirtualToken())
        assert inner.calls == 1

    def test_never_repeats_a_cancelled_call(self):
        inner = Flaky(9, CallCancelled())
        with pytest.raises(CallCancelled):
            retry(inner, 3, on=(Exception,))("q", VirtualToken())
        assert inner.calls == 1

    def test_stops_when_cancelled_while_it_waits(self):
        inner = Flaky(9)
        with pytest.raises(CallCancelled):
            retry(inner, 9, backoff_s=1.0)("q", VirtualToken(cancel_at=2.0))
        assert inner.calls == 2

    def test_an_error_that_the_cancelling_caused_is_a_cancelling(self):
        token = VirtualToken()

        def cut_off(query):
            token.cancel()
            raise OSError("connection closed")

        with pytest.raises(CallCancelled):
            retry(cut_off, 1)("q", token)

    def test_refuses_a_handler_that_writes(self):
        handler = Echo()
        handler.effect = Effect.WRITE
        with pytest.raises(InvalidConfiguration, match="writes, and a failed call may have had its effect"):
            retry(with_latency(handler, 1.0), 2)

    def test_refuses_counts_and_times_that_make_no_sense(self):
        with pytest.raises(InvalidConfiguration, match="attempts must be an integer of at least 1, not 0"):
            retry(Echo(), 0)
        with pytest.raises(InvalidConfiguration, match="backoff_s must be a number of at least 0, not -1.0"):
            retry(Echo(), 2, backoff_s=-1.0)


def assert_limit(starts, max_calls, per_s):
    ordered = sorted(starts)
    for first, last in zip(ordered, ordered[max_calls:], strict=False):
        assert last >= first + per_s, f"{max_calls + 1} calls from {first} to {last}"


# Eighths of seconds are exact in binary, so that these properties hold exactly.
moments = st.integers(0, 200).map(lambda eighths: eighths / 8)


class TestRateLimited:
    def test_calls_above_the_limit_wait_for_the_window(self):
        inner = Echo()
        handler = rate_limited(inner, 2, 10.0)
        for start in (0.0, 1.0, 2.0, 3.0, 30.0):
            handler("q", VirtualToken(start))
        assert inner.starts == [0.0, 1.0, 10.0, 11.0, 30.0]

    @given(
        arrivals=st.lists(st.tuples(moments, moments), max_size=40),
        max_calls=st.integers(1, 5),
        per_s=st.integers(1, 80).map(lambda eighths: eighths / 8),
        in_order=st.booleans(),
    )
    def test_no_window_ever_holds_more(self, arrivals, max_calls, per_s, in_order):
        inner = Echo()
        handler = rate_limited(inner, max_calls, per_s)
        for start, patience in sorted(arrivals) if in_order else arrivals:
            token = VirtualToken(start, cancel_at=start + patience)
            try:
                handler("q", token)
            except CallCancelled:
                assert token.time == start + patience
        assert_limit(inner.starts, max_calls, per_s)

    @given(arrivals=st.lists(moments, max_size=40), max_calls=st.integers(1, 5))
    def test_no_call_waits_longer_than_it_must(self, arrivals, max_calls):
        inner = Echo()
        handler = rate_limited(inner, max_calls, 1.0)
        expected: list[float] = []
        for arrival in sorted(arrivals):
            handler("q", VirtualToken(arrival))
            blocking = expected[-max_calls] + 1.0 if len(expected) >= max_calls else arrival
            expected.append(max(arrival, blocking))
        assert inner.starts == expected

    def test_a_cancelled_call_gives_its_turn_back(self):
        inner = Echo()
        handler = rate_limited(inner, 1, 10.0)
        handler("first", VirtualToken(0.0))
        with pytest.raises(CallCancelled):
            handler("gives up", VirtualToken(1.0, cancel_at=5.0))
        handler("next", VirtualToken(6.0))
        assert inner.starts == [0.0, 10.0]

    def test_holds_across_threads(self):
        inner, clock = Echo(), itertools.count()
        handler = rate_limited(inner, 3, 8.0)

        def call_often() -> None:
            for _ in range(50):
                handler("q", VirtualToken(float(next(clock))))

        threads = [threading.Thread(target=call_often) for _ in range(4)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        assert len(inner.starts) == 200
        assert_limit(inner.starts, 3, 8.0)

    @pytest.mark.parametrize(
        ("max_calls", "per_s", "message"),
        [
            (0, 1.0, "max_calls must be an integer of at least 1, not 0"),
            (1, 0.0, "per_s must be above 0 and finite, not 0.0"),
        ],
    )
    def test_refuses_limits_that_make_no_sense(self, max_calls, per_s, message):
        with pytest.raises(InvalidConfiguration, match=message):
            rate_limited(Echo(), max_calls, per_s)


class TestMetered:
    def test_a_fixed_cost_is_charged_at_the_start(self):
        token = VirtualToken(cancel_at=1.0)
        with pytest.raises(CallCancelled):
            metered(with_latency(Echo(), 2.0), Usage(7, 3))("q", token)
        assert token.usage() == (Usage(7, 3), Usage(7, 3))

    def test_a_cost_may_depend_on_query_and_response(self):
        token = VirtualToken()
        metered(str.upper, lambda query, response: Usage(len(query), 2 * len(response)))("four", token)
        assert token.usage()[1] == Usage(4, 8)


def test_users_can_write_their_own_decorator():
    handler = DecoratedHandler(Echo(), lambda inner, query, cancel: inner(query.strip(), cancel))
    assert handler("  q ", VirtualToken()) == "q"


class TestAsyncHandlers:
    """Of a coroutine function, every decorator makes one that is awaited; in virtual time, with the same figures."""

    @staticmethod
    def through_the_wrapper(handler: Any) -> tuple[Any, float, Any]:
        """The response, when it came, and the statistics of one step that asks ``handler``."""

        async def main() -> tuple[Any, float, Any]:
            env: Any = AsyncSpeculativeWrapper(FakeEnv({"world": handler}, length=1, random=False), max_inflight=0)
            async with env:
                await env.reset(seed=0)
                info = (await env.step(0))[-1]
                return info["responses"][0], asyncio.get_running_loop().time(), env.statistics

        return run(main)

    @staticmethod
    async def echo(query: Any) -> Any:
        return query[1]

    def test_say_so(self):
        recording = Recording()
        for handler in (
            with_latency(self.echo, 1.0),
            record(self.echo, recording),
            replay(recording, self.echo),
            retry(self.echo, 2),
            rate_limited(self.echo, 1, 1.0),
            metered(self.echo, Usage(1)),
        ):
            assert is_async(handler)
            assert self.through_the_wrapper(handler)[0] == 0
        assert len(recording) == 1
        assert not is_async(with_latency(Echo(), 1.0))

    def test_latency_cost_and_recording(self):
        recording = Recording()
        handler = record(metered(with_latency(self.echo, 2.0), Usage(7, 3)), recording)
        response, seconds, statistics = self.through_the_wrapper(handler)
        assert (response, seconds, statistics.committed) == (0, 2.0, Usage(7, 3))
        (found,) = recording
        assert (found.response, found.seconds, found.usage) == (0, 2.0, Usage(7, 3))
        again = replay(recording, missing=self.echo, speed=2.0)
        response, seconds, statistics = self.through_the_wrapper(again)
        assert (response, seconds, statistics.committed) == (0, 1.0, Usage(7, 3))

    def test_retry_waits_between_the_attempts(self):
        attempts = itertools.count(1)

        async def fails_twice(query: Any) -> Any:
            if next(attempts) < 3:
                raise OSError("busy")
            return "at last"

        assert self.through_the_wrapper(retry(fails_twice, 3))[:2] == ("at last", 1.0 + 2.0)

    def test_a_cancelled_task_gives_its_turn_back(self):
        handler = rate_limited(self.echo, 1, 10.0)

        async def main() -> float:
            async with AsyncSpeculativeWrapper(FakeEnv({"world": handler}), max_inflight=0) as env:
                await env.reset(seed=0)
                await env.step(0)
                with pytest.raises(TimeoutError):
                    async with asyncio.timeout(1.0):
                        await env.step(0)  # its turn would be at ten
                await env.step(1)
                return asyncio.get_running_loop().time()

        assert run(main) == 10.0

    def test_a_plain_decorator_is_refused(self):
        with pytest.raises(InvalidConfiguration, match="its decorator must be one too"):
            DecoratedHandler(self.echo, lambda inner, query, cancel: inner(query, cancel))

    def test_around_a_plain_handler_nothing_else_can_be_awaited(self):
        async def around(inner: Any, query: Any, cancel: Any) -> Any:
            await asyncio.sleep(0)

        with pytest.raises(InvalidConfiguration, match="may await the handler and cancel.asleep\\(\\) only"):
            DecoratedHandler(Echo(), around)("q", VirtualToken())
