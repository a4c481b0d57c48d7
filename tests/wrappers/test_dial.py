"""What speculation may cost: the rule for starts and guesses, the controller of a ratio, and giving up."""

from __future__ import annotations

import dataclasses
import functools
import random
from collections.abc import Callable
from typing import Any

import gymnasium as gym
import pytest
from hypothesis import given
from hypothesis import strategies as st

from spec_envs import Call, CallEnv, CancelToken, Effect, Guess, Usage
from spec_envs.errors import InvalidConfiguration
from spec_envs.wrappers import Limits, SpeculativeWrapper, Statistics
from spec_envs.wrappers.estimates import CallEstimate, Estimates, GuesserEstimate
from spec_envs.wrappers.speculation.tree.dial import Dial
from spec_envs.wrappers.speculation.tree.nodes import Node

ROOT = Node(0, None, None, 1.0, None, 0.0, 0)
PROBABILITY = st.floats(0.001, 0.999)
SHARE = st.sampled_from([1 / 2, 2 / 3, 3 / 4, 9 / 10])
POSITIVE = st.floats(0.01, 100.0)


def known(**handlers: tuple[float, float, float]) -> Estimates:
    """By handler: the seconds, tokens and money of a call."""
    estimates = Estimates()
    for name, (seconds, tokens, money) in handlers.items():
        estimates.calls[name] = CallEstimate()
        estimates.calls[name].add(seconds, Usage(tokens_out=tokens, money=money))
    return estimates


def guesser(best: float, early: float = 0.0, **cost: float) -> GuesserEstimate:
    estimate = GuesserEstimate()
    estimate.add(0.1, best, early, Usage(**cost))
    return estimate


class TestRule:
    @given(POSITIVE, POSITIVE, st.floats(0.0, 100.0), PROBABILITY, SHARE)
    def test_with_money_the_rule_is_the_one_that_is_written_down(self, seconds, money, worth, p, share):
        dial = Dial(Limits(money_per_s=worth), known(model=(seconds, 0.0, money)))
        gain, loss = p * share * seconds * worth, (1 - p) * money
        if abs(gain - loss) > 1e-9 * (gain + loss):
            assert dial.is_worth_calling("model", p, share, ROOT) == (gain > loss)

    @given(POSITIVE, POSITIVE, st.floats(0.0, 10.0), PROBABILITY, SHARE)
    def test_with_one_dear_handler_the_selectivity_is_in_odds(self, seconds, tokens, selectivity, p, share):
        dial = Dial(Limits(selectivity=selectivity), known(model=(seconds, tokens, 0.0), tool=(1.0, 0.0, 0.0)))
        odds = p / (1 - p) * share
        if abs(odds - selectivity) > 1e-9 * (odds + selectivity):
            assert dial.is_worth_calling("model", p, share, ROOT) == (odds > selectivity)
        assert dial.is_worth_calling("tool", p, share, ROOT)  # it costs nothing where others do

    @given(
        st.sampled_from([{"selectivity": 0.1}, {"selectivity": 1e6}, {"money_per_s": 0.0}, {"money_per_s": 1.0}]),
        st.sampled_from([Estimates(), known(model=(0.0, 1e6, 1e6)), known(model=(1.0, 0.0, 0.0))]),
        st.sampled_from([1.0, 1 - 1e-12]),
        SHARE,
    )
    def test_what_is_certain_is_never_refused(self, dial, estimates, p, share):
        assert Dial(Limits(**dial), estimates).is_worth_calling("model", p, share, ROOT)

    @given(POSITIVE, POSITIVE, SHARE, PROBABILITY, PROBABILITY, st.floats(0.0, 10.0), st.floats(0.0, 10.0))
    def test_likelier_calls_and_dearer_seconds_are_refused_less(self, seconds, money, share, p, q, worth, more):
        estimates = known(model=(seconds, 10.0, money))

        def allowed(limits: Limits, probability: float) -> bool:
            return Dial(limits, estimates).is_worth_calling("model", probability, share, ROOT)

        for dial in (Limits(money_per_s=worth), Limits(selectivity=worth)):
            assert allowed(dial, min(p, q)) <= allowed(dial, max(p, q))
        low, high = sorted((worth, more))
        assert allowed(Limits(money_per_s=low), p) <= allowed(Limits(money_per_s=high), p)
        assert allowed(Limits(selectivity=high), p) <= allowed(Limits(selectivity=low), p)

    @given(PROBABILITY, SHARE, st.floats(0.0, 10.0), st.floats(0.0, 10.0))
    def test_where_time_is_worth_nothing_nothing_starts_that_may_be_in_vain(self, p, share, seconds, money):
        dial = Dial(Limits(money_per_s=0.0), known(model=(seconds, 1.0, money)))
        for name in ("model", "unknown"):
            assert not dial.is_worth_calling(name, p, share, ROOT)
            assert not dial.is_worth_guessing(name, guesser(0.9), 1.0, share, ROOT)
            assert not dial.is_worth_guessing(name, GuesserEstimate(), 1.0, share, ROOT)

    @given(PROBABILITY, SHARE)
    def test_selectivity_0_starts_everything(self, p, share):
        for estimates in (
            Estimates(),
            known(model=(0.0, 5.0, 0.0)),
            known(model=(1.0, 5.0, 1.0), tool=(1.0, 1.0, 0.0)),
        ):
            assert Dial(Limits(selectivity=0.0), estimates).is_worth_calling("model", p, share, ROOT)

    def test_what_is_not_known_needs_certainty_where_money_counts_and_usual_odds_elsewhere(self):
        assert not Dial(Limits(money_per_s=100.0), Estimates()).is_worth_calling("model", 0.99, 0.5, ROOT)
        dial = Dial(Limits(selectivity=0.1), Estimates())
        assert [dial.is_worth_calling("model", p, 0.5, ROOT) for p in (0.1, 0.2)] == [False, True]

    def test_a_dearer_second_takes_better_odds(self):
        dial = Dial(Limits(selectivity=0.1), known(dear=(1.0, 300.0, 0.0), usual=(2.0, 300.0, 0.0)))
        assert [dial.is_worth_calling("dear", p, 0.5, ROOT) for p in (0.2, 0.25)] == [False, True]
        assert [dial.is_worth_calling("usual", p, 0.5, ROOT) for p in (0.1, 0.2)] == [False, True]

    @pytest.mark.parametrize(("tokens", "asked"), [(0.0, True), (300.0, True), (500.0, False)])
    def test_a_guess_has_to_save_what_it_costs(self, tokens, asked):
        """A call of 1,000 tokens; the best guess is right in half of the cases and saves half of the call: 4 tenths."""
        dial = Dial(Limits(selectivity=0.6), known(model=(10.0, 1000.0, 0.0)))
        assert dial.is_worth_guessing("model", guesser(0.5, tokens_in=tokens), 1.0, 0.5, ROOT) == asked

    @pytest.mark.parametrize(("early", "asked"), [(0.0, True), (0.3, False), (0.9, False)])
    def test_a_guess_has_to_save_more_than_what_is_said_early(self, early, asked):
        dial = Dial(Limits(selectivity=0.6), known(model=(10.0, 1000.0, 0.0)))
        assert dial.is_worth_guessing("model", guesser(0.5, early, tokens_in=300.0), 1.0, 0.5, ROOT) == asked

    @pytest.mark.parametrize(
        "dials", [{"money_per_s": 1.0, "token_ratio": 2.0}, {"token_ratio": 2.0, "money_ratio": 2.0}], ids=str
    )
    def test_there_is_one_dial(self, dials: Any):
        with pytest.raises(InvalidConfiguration, match="give one of them"):
            Limits(**dials)

    @pytest.mark.parametrize("name", ["token_ratio", "money_ratio"])
    def test_a_ratio_is_at_least_1(self, name):
        with pytest.raises(InvalidConfiguration, match=name):
            Limits(**dict[str, Any]({name: 0.99}))


class Chain(CallEnv[int, int]):
    """A step is a chain of calls, each with the responses so far in its query."""

    observation_space: gym.spaces.Discrete[Any] = gym.spaces.Discrete(1000)
    action_space: gym.spaces.Discrete[Any] = gym.spaces.Discrete(1)
    shared_on_fork = frozenset({"handlers", "names"})

    def __init__(self, names: tuple[str, ...], **handlers: Callable[..., Any]) -> None:
        super().__init__(handlers)
        self.names = names
        self._episode = 0

    def reset(self, *, seed: int | None = None, options: dict[str, Any] | None = None) -> tuple[int, dict[str, Any]]:
        super().reset(seed=seed)
        self._episode = int(self.np_random.integers(2**62))
        return 0, {}

    def step(self, action: int) -> tuple[int, float, bool, bool, dict[str, Any]]:
        responses = tuple[int, ...]()
        for name in self.names:
            responses += (self.ask(Call(name, (self._episode, responses), Effect.SAMPLE)),)
        return responses[-1], 0.0, True, False, {}


@functools.cache  # the runs that are compared make the same calls
def drawn(query: Any) -> tuple[float, float, float]:
    """Of a call: how long it takes, a number in [0, 1) that its answer depends on, and how sure the best guess is."""
    seconds, answer, sure = (random.Random(repr((query, purpose))) for purpose in ("seconds", "answer", "sure"))
    return seconds.uniform(2.0, 6.0), answer.random(), sure.betavariate(1.2, 1.8)


@dataclasses.dataclass(frozen=True)
class Model:
    """Calls of about 4 s and 400 tokens; its guesser knows how likely each guess is, or claims the same of all."""

    claims: tuple[float, ...] = ()
    guess_tokens: float = 0.0

    def __call__(self, query: Any, cancel: CancelToken) -> int:
        seconds, draw, _ = drawn(query)
        cancel.sleep(seconds, Usage(tokens_out=100 * seconds))
        answer = 0
        for p in self.chances(query):
            if draw < p:
                return answer
            draw, answer = draw - p, answer + 1
        return 99

    def chances(self, query: Any) -> list[float]:
        _, _, sure = drawn(query)
        return [sure, (1 - sure) * 0.4, (1 - sure) * 0.2]

    def guess(self, call: Call, k: int, cancel: CancelToken) -> list[Guess]:
        cancel.sleep(0.01, Usage(tokens_in=self.guess_tokens))
        claims = self.claims or self.chances(call.query)
        return [Guess(answer, p) for answer, p in enumerate(claims)][:k]


def episodes(limits: Limits, count: int = 20, model: Model | None = None, length: int = 15) -> Statistics:
    """The statistics of ``count`` episodes, each a chain of ``length`` calls; equal ones are played once."""
    model = Model() if model is None else model
    key = repr((limits, count, model, length))
    if key not in _PLAYED:
        _PLAYED[key] = played(limits, count, model, length)
    return _PLAYED[key]


_PLAYED: dict[str, Statistics] = {}


def played(limits: Limits, count: int, model: Model, length: int) -> Statistics:
    env = SpeculativeWrapper(
        Chain(("model",) * length, model=model), guessers={"model": model}, limits=limits, runtime="simulation"
    )
    with env:
        for seed in range(count):
            env.reset(seed=seed)
            env.step(0)
    return env.statistics


@functools.cache
def by_fixed_dials() -> list[Statistics]:
    return [episodes(Limits(selectivity=each)) for each in (0.05, 0.1, 0.2, 0.3, 0.4)]


class TestController:
    @pytest.mark.parametrize("ratio", [1.1, 1.5, 2.0, 3.0])
    def test_twenty_episodes_cost_the_wanted_ratio(self, ratio):
        assert episodes(Limits(token_ratio=ratio)).tokens_full == pytest.approx(ratio, rel=0.1)

    @pytest.mark.parametrize("ratio", [1.5, 2.0])
    def test_little_is_lost_against_the_best_fixed_dial(self, ratio):
        steered = episodes(Limits(token_ratio=ratio))
        cheaper = [each.saved for each in by_fixed_dials() if each.tokens_full <= steered.tokens_full]
        assert steered.saved >= max(cheaper) - 0.015

    def test_guesses_count(self):
        model = Model(guess_tokens=100.0)
        assert episodes(Limits(token_ratio=1.5), model=model).tokens_full == pytest.approx(1.5, rel=0.1)

    def test_what_has_held_the_ratio_is_kept(self):
        estimates = Estimates()
        for seed in range(20):
            model = Model()
            env = SpeculativeWrapper(
                Chain(("model",) * 15, model=model),
                guessers={"model": model},
                limits=Limits(token_ratio=2.0),
                runtime="simulation",
                estimates=estimates,
            )
            with env:
                env.reset(seed=seed)
                env.step(0)
        account = estimates.accounts["tokens"]
        assert account.spent / account.committed == pytest.approx(2.0, rel=0.1)


@dataclasses.dataclass(frozen=True)
class Frugal(Model):
    """Its likeliest guess costs nothing, and the others cost ``guess_tokens``."""

    frugal: bool = True

    def guess(  # type: ignore[override]
        self, call: Call, k: int, cancel: CancelToken, early: Callable[[list[Guess]], None]
    ) -> list[Guess]:
        free = [Guess(0, self.chances(call.query)[0])]
        early(free)
        return super().guess(call, k, cancel) if cancel.may_spend else free


class TestWhatGuessersAreLike:
    def test_of_a_frugal_guesser_the_guesses_that_cost_nothing_are_had_where_the_others_are_not_worth_it(self):
        frugal, dear = (episodes(Limits(), model=Frugal((), 5000.0, frugal=each)) for each in (True, False))
        assert frugal.windows > 4 * dear.windows
        assert frugal.saved > dear.saved + 0.1
        assert frugal.guessing.tokens < 2 * dear.guessing.tokens
        cheap = episodes(Limits(), model=Frugal((), 10.0))
        assert cheap.guessing.tokens > 10.0 * cheap.windows / 2

    def test_a_guesser_that_boasts_costs_little_more_than_an_honest_one(self):
        """Guesses are right in 40, 24 and 12 % of the cases."""
        boasting = Model(claims=(0.95, 0.03, 0.02))
        honest, corrected, believed = (
            episodes(Limits(min_probability=0.0, calibrate=calibrate), model=model)
            for model, calibrate in ((Model(claims=(0.4, 0.24, 0.12)), False), (boasting, True), (boasting, False))
        )
        assert corrected.tokens_full <= 1.1 * honest.tokens_full
        assert believed.tokens_full > 1.25 * honest.tokens_full
        assert believed.saved < corrected.saved

    def test_an_honest_guesser_loses_at_most_a_point(self):
        honest, believed = episodes(Limits()), episodes(Limits(calibrate=False))
        assert honest.saved >= believed.saved - 0.01

    def test_a_guesser_that_costs_more_than_it_saves_is_left_out(self):
        cheap, dear = (episodes(Limits(), model=Model(guess_tokens=tokens)) for tokens in (10.0, 5000.0))
        assert dear.windows < cheap.windows / 4
        assert dear.not_predicted > 0
        assert episodes(Limits(selectivity=0.0), model=Model(guess_tokens=5000.0)).windows >= cheap.windows

    def test_where_time_is_worth_nothing_nothing_is_spent(self):
        figures = episodes(Limits(money_per_s=0.0), model=Model(guess_tokens=10.0))
        assert figures.tokens_full == pytest.approx(1.0)
        assert figures.saved == pytest.approx(0.0, abs=1e-9)


class Wavering:
    """Is almost sure of 1 at first, and then of 2."""

    def guess(self, call: Call, k: int, cancel: CancelToken, early: Callable[[list[Guess]], None]) -> list[Guess]:
        early([Guess(1, 0.9)])
        cancel.sleep(2.0)
        return [Guess(2, 0.9), Guess(1, 0.01)]


def draws(limits: Limits, count: int) -> tuple[list[int], Statistics]:
    """What the second calls drew: 1 takes a second, and 3 takes three; both are as likely."""
    source = random.Random(7)

    def first(query: Any, cancel: CancelToken) -> int:
        cancel.sleep(4.0)
        return 1

    def second(query: Any, cancel: CancelToken) -> int:
        drawn = source.choice([1, 3])
        cancel.sleep(float(drawn), Usage(tokens_out=100 * drawn))
        return drawn

    env = SpeculativeWrapper(
        Chain(("first", "second"), first=first, second=second),
        guessers={"first": Wavering()},
        limits=limits,
        runtime="simulation",
    )
    with env:
        seen = []
        for seed in range(count):
            env.reset(seed=seed)
            seen.append(env.step(0)[0])
    return seen, env.statistics


class TestGivingUp:
    LIMITS = Limits(give_up_below=0.05, calibrate=False)

    def test_draws_stay_unbiased(self):
        """Of the first draws, the quick ones are done when they are given up; were they kept, 3 would be rare."""
        count = 500
        seen, figures = draws(self.LIMITS, count)
        assert figures.calls["wasted"] > count / 4  # were done, and given up all the same
        assert figures.calls["cancelled"] > count / 4
        share = seen.count(3) / count
        assert abs(share - 0.5) < 4 * (0.25 / count) ** 0.5

    def test_nothing_is_given_up_unless_wanted(self):
        kept, given_up = (draws(dataclasses.replace(self.LIMITS, give_up_below=each), 50)[1] for each in (0.0, 0.05))
        assert kept.calls["wasted"] + kept.calls["cancelled"] == 50  # those on the second guess
        assert given_up.calls["wasted"] + given_up.calls["cancelled"] == 100
