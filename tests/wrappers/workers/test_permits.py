"""One limit for many workers: what is lent, asked back, taken from the dead, and never passed."""

from __future__ import annotations

import math
import random
import threading
import time

import pytest
from hypothesis import given
from hypothesis import strategies as st

from spec_envs.errors import CallCancelled, HandlerFailed, InvalidConfiguration
from spec_envs.handling import CancelToken
from spec_envs.usage import Usage
from spec_envs.wrappers import SharedLimit
from spec_envs.wrappers.handlers import metered
from spec_envs.wrappers.workers.permits import Amount, Ledger, Loan, Permits, Settling
from spec_envs.wrappers.workers.purse import Purse


class TestSlots:
    def test_are_lent_up_to_the_limit(self):
        permits = Permits(SharedLimit(max_inflight=3))
        assert permits.settle("a", Settling(slots=2), 0).slots == 2
        assert permits.settle("b", Settling(slots=2), 0).slots == 1
        assert permits.settle("b", Settling(slots_back=1), 0).slots == 0
        assert permits.settle("a", Settling(slots=2), 0).slots == 1
        assert permits.greatest_inflight == 3

    def test_are_asked_back_from_who_has_most(self):
        permits = Permits(SharedLimit(max_inflight=3))
        permits.settle("a", Settling(slots=2), 0)
        permits.settle("b", Settling(slots=1), 0)
        assert permits.settle("c", Settling(slots=1), 0) == Loan()
        assert permits.settle("b", Settling(), 0).recall == 0
        assert permits.settle("a", Settling(), 0).recall == 1
        assert permits.settle("a", Settling(), 0).recall == 0  # it was asked already
        assert permits.settle("a", Settling(slots_back=1, slots=1), 0).slots == 0  # c comes first
        assert permits.settle("c", Settling(slots=1), 0).slots == 1

    def test_of_the_dead_are_taken_back(self):
        ledger = Ledger({"policy": SharedLimit(max_inflight=2)})
        ledger.settle("a", {"policy": Settling(slots=2)}, 0)
        ledger.take_back("a")
        assert ledger.settle("b", {"policy": Settling(slots=2)}, 0)["policy"].slots == 2
        assert ledger.settle("a", {"policy": Settling(slots_back=2)}, 0) == {}  # it was on its way when they died
        assert ledger.settle("c", {"policy": Settling(slots=1)}, 0)["policy"].slots == 0


class TestStarts:
    def test_count_until_they_can_no_longer_be_used_and_their_window_is_over(self):
        permits = Permits(SharedLimit(max_calls=2, per_s=10))
        assert permits.settle("a", Settling(starts=3), 0).starts == (10.5, 10.5)
        assert permits.settle("a", Settling(starts=3), 10.4).starts == ()
        assert permits.waits_until(10.4) == 10.5
        assert len(permits.settle("a", Settling(starts=3), 10.5).starts) == 2

    def test_that_were_not_used_do_not_count(self):
        permits = Permits(SharedLimit(max_calls=2, per_s=10))
        (leaves_at, _) = permits.settle("a", Settling(starts=2), 0).starts
        assert len(permits.settle("b", Settling(starts=2), 1).starts) == 0
        permits.settle("a", Settling(starts_back=(leaves_at,)), 1)
        assert len(permits.settle("b", Settling(starts=2), 1).starts) == 1


class TestBudget:
    def test_is_lent_as_a_whole_or_not(self):
        permits = Permits(SharedLimit(max_tokens=10))
        assert permits.settle("a", Settling(budget=Amount(6)), 0).budget == Amount(6)
        assert permits.settle("b", Settling(budget=Amount(6)), 0) == Loan()  # a may give some back
        permits.settle("a", Settling(spent=Amount(2), budget_back=Amount(4)), 0)
        assert permits.settle("b", Settling(budget=Amount(6)), 0).budget == Amount(6)
        assert permits.settle("a", Settling(budget=Amount(9)), 0).is_spent

    def test_of_the_dead_counts_as_spent(self):
        permits = Permits(SharedLimit(max_money=10))
        permits.settle("a", Settling(budget=Amount(0, 6)), 0)
        permits.take_back("a")
        assert permits.spent == Amount(0, 6)
        assert permits.settle("b", Settling(budget=Amount(0, 5)), 0).is_spent


@given(st.integers(0, 2**32), st.integers(1, 5), st.integers(1, 4))
def test_no_limit_is_passed_whatever_workers_do(seed, most, per_s):
    """Workers that take, use, give back and die at random, against a plain count of what they hold and begin."""
    draws = random.Random(seed)
    limit = SharedLimit(max_inflight=most, max_calls=most, per_s=per_s, max_tokens=20)
    ledger = Ledger({"h": limit})
    slots, starts, budget = dict[str, int](), dict[str, list[tuple[float, float]]](), dict[str, float]()
    begun, spent, now = list[float](), 0.0, 0.0
    for number in range(200):
        now += draws.choice([0.0, 0.05, 0.3])
        worker = f"w{number // 60}-{draws.randrange(4)}"
        held = slots.setdefault(worker, 0)
        valid = [each for each in starts.get(worker, []) if each[0] >= now]
        late = [leaves_at for until, leaves_at in starts.get(worker, []) if until < now]
        if draws.random() < 0.05:
            ledger.take_back(worker)
            spent += budget.pop(worker, 0.0)
            slots[worker], starts[worker] = 0, []
            continue
        if valid and held and draws.random() < 0.7:
            begun.append(now)
            valid.pop(0)
        cost = min(budget.get(worker, 0.0), draws.random())
        back = draws.randint(0, held)
        asked = Settling(
            back,
            tuple(late),
            Amount(cost),
            Amount(),
            draws.randint(0, 3),
            draws.randint(0, 3),
            Amount(draws.choice([0, 2])),
        )
        loan = ledger.settle(worker, {"h": asked}, now).get("h", Loan())
        spent += cost
        slots[worker] = held - back + loan.slots
        starts[worker] = valid + [(now + limit.valid_s, leaves_at) for leaves_at in loan.starts]
        budget[worker] = budget.get(worker, 0.0) - cost + loan.budget.tokens
        assert sum(slots.values()) <= most
        assert all(sum(first <= each < first + per_s for each in begun) <= most for first in begun)
        assert spent + sum(budget.values()) <= 20 + 1e-6


class Bank:
    """Settles with a ledger in this process, as the actor does on a cluster."""

    def __init__(self, **limits):
        self.ledger = Ledger(limits)
        self.lock = threading.Lock()

    def of(self, worker):
        def settle(settlings):
            with self.lock:
                loans = self.ledger.settle(worker, settlings, time.monotonic())
            if all(loan.is_nothing for loan in loans.values()):
                time.sleep(0.002)
            return loans, 0.0

        return settle


def purses(bank, count):
    limits = {name: permits._limit for name, permits in bank.ledger.permits.items()}
    return [Purse(limits, bank.of(f"w{number}"), beat_s=0.005) for number in range(count)]


def run(calls):
    threads = [threading.Thread(target=call) for call in calls]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()


class Counting:
    """A handler that counts its calls in flight."""

    def __init__(self):
        self.lock, self.now, self.most, self.begun = threading.Lock(), 0, 0, []

    def __call__(self, query, cancel):
        with self.lock:
            self.begun.append(time.monotonic())
            self.now += 1
            self.most = max(self.most, self.now)
        time.sleep(0.002)
        with self.lock:
            self.now -= 1
        return query


class TestPurses:
    def test_all_calls_of_all_workers_are_made_within_the_limit(self):
        bank, handler = Bank(policy=SharedLimit(max_inflight=2)), Counting()
        workers = purses(bank, 4)
        answers = []
        around = [purse.around("policy", handler) for purse in workers]
        run([lambda each=each, n=n: answers.append(each(n)) for n in range(10) for each in around])
        for purse in workers:
            purse.close()
        assert sorted(answers) == sorted(list(range(10)) * 4) and handler.most <= 2
        assert bank.ledger.permits["policy"]._slots.total() == 0

    def test_no_window_has_more_calls_than_the_limit(self):
        bank, handler = Bank(policy=SharedLimit(max_calls=5, per_s=0.2)), Counting()
        workers = purses(bank, 3)
        around = [purse.around("policy", handler) for purse in workers]
        run([lambda each=each: each(0) for _ in range(5) for each in around])
        for purse in workers:
            purse.close()
        begun = sorted(handler.begun)
        assert len(begun) == 15 and all(last - first >= 0.2 for first, last in zip(begun, begun[5:], strict=False))

    def test_a_budget_is_kept_and_then_calls_fail(self):
        bank, handler = Bank(policy=SharedLimit(max_tokens=10)), metered(Counting(), Usage(1, 1))
        workers = purses(bank, 2)
        around = [purse.around("policy", handler) for purse in workers]
        answers, errors = [], []

        def call(each):
            try:
                answers.append(each(0))
            except HandlerFailed as error:
                errors.append(str(error))

        run([lambda each=each: call(each) for _ in range(5) for each in around])
        for purse in workers:
            purse.close()
        assert len(answers) == 5 and len(errors) == 5
        assert bank.ledger.permits["policy"].spent == Amount(10)
        assert "budget of handler 'policy' for the whole cluster is spent" in errors[0]

    def test_a_call_that_is_cancelled_does_not_wait(self):
        bank = Bank(policy=SharedLimit(max_inflight=1))
        bank.ledger.settle("other", {"policy": Settling(slots=1)}, 0)
        (purse,) = purses(bank, 1)
        cancel = CancelToken()
        cancel.cancel()
        with pytest.raises(CallCancelled):
            purse.around("policy", Counting())(0, cancel)
        purse.close()

    def test_a_handler_without_limit_is_left_alone(self):
        (purse,) = purses(Bank(policy=SharedLimit(max_inflight=1)), 1)
        assert purse.around("tool", len) is len
        purse.close()

    def test_a_ledger_that_is_gone_is_told(self):
        def gone(settlings):
            raise ConnectionError("no ledger")

        purse = Purse({"policy": SharedLimit(max_inflight=1)}, gone)
        with pytest.raises(HandlerFailed, match="cannot be asked any more: no ledger"):
            purse.around("policy", Counting())(0)
        purse.close()


@pytest.mark.parametrize(
    ("given", "message"),
    [
        ({}, "must limit something"),
        ({"max_inflight": 0}, "max_inflight must be None or an integer of at least 1, not 0"),
        ({"max_calls": 1, "per_s": 0}, "per_s must be"),
        ({"max_calls": 1, "per_s": math.inf}, "per_s must be"),
        ({"max_tokens": -1}, "max_tokens must be"),
    ],
)
def test_wrong_limits(given, message):
    with pytest.raises(InvalidConfiguration, match=message):
        SharedLimit(**given)
