"""The limit of one handler: whether a speculative call has room, and when an authoritative one may begin."""

from __future__ import annotations

import math

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, precondition, rule

from spec_envs.errors import InvalidConfiguration
from spec_envs.wrappers.quota import HandlerLimit, Quota


def begin(quota: Quota, call: object, now: float, *, speculative: bool) -> None:
    quota.let(call, speculative=speculative)
    quota.began(call, now)


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"max_inflight": 0}, "max_inflight must be None or an integer of at least 1, not 0"),
        ({"max_calls": 0}, "max_calls must be None or an integer of at least 1, not 0"),
        ({"max_calls": 1.5}, "max_calls must be None or an integer of at least 1, not 1.5"),
        ({"per_s": 0.0}, "per_s must be above 0 and finite, not 0.0"),
        ({"per_s": math.inf}, "per_s must be above 0 and finite, not inf"),
        ({"per_s": math.nan}, "per_s must be above 0 and finite, not nan"),
    ],
)
def test_a_limit_that_makes_no_sense_is_refused(arguments: dict[str, float], message: str) -> None:
    with pytest.raises(InvalidConfiguration) as caught:
        HandlerLimit(**arguments)  # type: ignore[arg-type]  # that is what is tried
    assert str(caught.value) == message


def test_one_slot_is_kept_for_the_authoritative_call() -> None:
    quota = Quota(HandlerLimit(max_inflight=2))
    assert quota.has_room(0.0)
    begin(quota, "a", 0.0, speculative=True)
    assert not quota.has_room(0.0)
    assert quota.authoritative_from(0.0) is None
    begin(quota, "b", 0.0, speculative=False)
    assert quota.authoritative_from(0.0) == math.inf
    quota.end("a")
    assert quota.has_room(0.0)
    assert not Quota(HandlerLimit(max_inflight=1)).has_room(0.0)


def test_a_promoted_call_no_longer_takes_the_room_of_speculation() -> None:
    quota = Quota(HandlerLimit(max_inflight=2))
    begin(quota, "a", 0.0, speculative=True)
    quota.promote("a")
    assert quota.has_room(0.0)


def test_speculation_leaves_as_many_calls_as_were_needed_lately_and_one() -> None:
    quota = Quota(HandlerLimit(max_calls=6, per_s=10.0))
    begin(quota, "a", 0.0, speculative=False)
    begin(quota, "b", 1.0, speculative=True)
    assert quota.has_room(1.0)  # 2 begun, 1 needed, and one more: 2 are left
    quota.end("b")
    quota.promote("b")
    assert quota.has_room(1.0)
    begin(quota, "c", 2.0, speculative=True)
    assert not quota.has_room(9.0)
    assert quota.has_room(10.0)  # the first call counts no more


def test_an_authoritative_call_waits_until_the_window_has_room() -> None:
    quota = Quota(HandlerLimit(max_calls=2, per_s=10.0))
    for name, at in (("a", 0.0), ("b", 4.0)):
        assert quota.authoritative_from(at) is None
        begin(quota, name, at, speculative=False)
        quota.end(name)
    assert quota.authoritative_from(5.0) == 10.0
    assert quota.authoritative_from(10.0) is None
    begin(quota, "c", 10.0, speculative=False)
    assert quota.authoritative_from(10.0) == 14.0


def test_the_window_of_a_call_begins_when_its_handler_gets_it() -> None:
    quota = Quota(HandlerLimit(max_calls=2, per_s=10.0))
    quota.let("late", speculative=False)
    begin(quota, "b", 1.0, speculative=False)
    assert quota.authoritative_from(50.0) is None  # "b" counts no more, and "late" alone is less than the limit
    begin(quota, "c", 50.0, speculative=False)
    assert quota.authoritative_from(50.0) == 60.0
    begin(quota, "d", 60.0, speculative=False)
    assert quota.authoritative_from(75.0) is None
    quota.let("e", speculative=True)
    assert quota.authoritative_from(75.0) == math.inf  # until one of those that were let through begins
    quota.began("late", 76.0)
    assert quota.authoritative_from(76.0) == 86.0
    quota.end("e")  # never began
    assert quota.authoritative_from(76.0) is None


def test_what_an_interrupt_has_lost_is_no_longer_in_flight_but_still_counts() -> None:
    quota = Quota(HandlerLimit(max_inflight=2, max_calls=3, per_s=10.0))
    begin(quota, "kept", 0.0, speculative=True)
    begin(quota, "lost", 0.0, speculative=False)
    assert quota.authoritative_from(0.0) == math.inf
    quota.end_all_but({"kept"})
    quota.let("kept", speculative=True)  # as a new tree says of what it has inherited
    assert quota.authoritative_from(0.0) is None
    begin(quota, "c", 0.0, speculative=False)
    quota.end("c")
    assert quota.authoritative_from(0.0) == 10.0


@given(now=st.floats(0.0, 1e9), per_s=st.floats(1e-6, 1e6))
def test_the_time_that_is_waited_for_is_late_enough_however_it_is_rounded(now: float, per_s: float) -> None:
    quota = Quota(HandlerLimit(max_calls=1, per_s=per_s))
    begin(quota, "a", now, speculative=False)
    until = quota.authoritative_from(now)
    if until is not None:  # else per_s is too short to be seen at this time
        assert quota.authoritative_from(until) is None


class QuotaMachine(RuleBasedStateMachine):
    """Begins calls whenever the quota lets them, and counts them in every window."""

    @initialize(
        max_inflight=st.none() | st.integers(1, 4),
        max_calls=st.none() | st.integers(1, 8),
        per_s=st.sampled_from([0.1, 1.0, 7.3]),
    )
    def choose(self, max_inflight: int | None, max_calls: int | None, per_s: float) -> None:
        self.limit = HandlerLimit(max_inflight, max_calls, per_s)
        self.quota = Quota(self.limit)
        self.now = 0.0
        self.number = 0
        self.begun: dict[int, float] = {}  # when the handler got the call
        self.running: dict[int, bool] = {}  # whether the call is speculative
        self.needed: set[int] = set()

    def let(self, *, speculative: bool) -> None:
        self.number += 1
        self.quota.let(self.number, speculative=speculative)
        self.running[self.number] = speculative
        if not speculative:
            self.needed.add(self.number)

    def in_window(self) -> set[int]:
        counted = {number for number, at in self.begun.items() if at + self.limit.per_s > self.now}
        return counted | (self.running.keys() - self.begun.keys())

    @rule()
    def speculate(self) -> None:
        if self.quota.has_room(self.now):
            self.let(speculative=True)
            speculative = sum(self.running.values())
            if self.limit.max_inflight is not None:
                assert speculative < self.limit.max_inflight
            if self.limit.max_calls is not None:
                window = self.in_window()
                left = self.limit.max_calls - len(window)
                assert left >= 1 + len(self.needed.intersection(window))

    @rule(waits=st.booleans())
    def need(self, waits: bool) -> None:
        at = self.quota.authoritative_from(self.now)
        if at is not None and waits and at < math.inf:
            assert at > self.now
            self.now = at
            at = self.quota.authoritative_from(at)
            assert at is None or at == math.inf
        if at is None:
            self.let(speculative=False)
        elif at == math.inf:
            waiting = self.running.keys() - self.begun.keys()
            assert len(self.running) == self.limit.max_inflight or waiting

    @precondition(lambda self: self.running.keys() - self.begun.keys())
    @rule(data=st.data())
    def begins(self, data: st.DataObject) -> None:
        number = data.draw(st.sampled_from(sorted(self.running.keys() - self.begun.keys())))
        self.quota.began(number, self.now)
        self.begun[number] = self.now

    @precondition(lambda self: self.number)
    @rule(data=st.data())
    def promote(self, data: st.DataObject) -> None:
        number = data.draw(st.integers(1, self.number))
        self.quota.promote(number)
        self.needed.add(number)
        if number in self.running:
            self.running[number] = False

    @precondition(lambda self: bool(self.running))
    @rule(data=st.data())
    def end(self, data: st.DataObject) -> None:
        number = data.draw(st.sampled_from(sorted(self.running)))
        self.quota.end(number)
        del self.running[number]

    @rule(seconds=st.floats(0.01, 3.0))
    def time_passes(self, seconds: float) -> None:
        self.now += seconds

    @invariant()
    def no_more_calls_are_in_flight_than_allowed(self) -> None:
        if self.limit.max_inflight is not None:
            assert len(self.running) <= self.limit.max_inflight

    @invariant()
    def no_window_holds_more_calls_than_allowed(self) -> None:
        if self.limit.max_calls is not None:
            begun = sorted(self.begun.values())
            for first, last in zip(begun, begun[self.limit.max_calls :], strict=False):
                assert last >= first + self.limit.per_s


QuotaMachine.TestCase.settings = settings(max_examples=50, stateful_step_count=60, deadline=None)
TestQuota = QuotaMachine.TestCase
