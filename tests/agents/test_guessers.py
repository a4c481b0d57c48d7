import random
import threading
from typing import Any

import gymnasium as gym
import numpy as np
import pytest

from spec_envs import Call, CancelToken, Guess, Usage
from spec_envs.agents import CallableGuesser, FrequencyGuesser, NearestGuesser, UnionGuesser
from spec_envs.agents.calibration import RankCalibration, Reliability, ScoreCalibration
from spec_envs.errors import CallCancelled, InvalidConfiguration


def call(query, handler="policy"):
    return Call(handler, query)


def responses(guesses):
    return [guess.response for guess in guesses]


class Fixed:
    """Always guesses the same."""

    def __init__(self, *guesses):
        self.guesses = [Guess(response, p) for response, p in guesses]
        self.seen = []
        self.closed = 0

    def guess(self, call, k):
        return self.guesses[:k]

    def observe(self, call, response):
        self.seen.append(response)

    def close(self):
        self.closed += 1


class Broken:
    def guess(self, call, k):
        raise RuntimeError("broken")

    def observe(self, call, response):
        raise RuntimeError("broken")


class TestRankCalibration:
    def test_starts_from_its_prior_and_learns(self):
        ranks = RankCalibration(prior=(0.5, 0.2), strength=10)
        assert ranks.probabilities(3) == pytest.approx([0.5, 0.2, 0.1])
        for _ in range(990):
            ranks.observe(1, offered=2)
        assert ranks.probability(0) == pytest.approx(0.005)
        assert ranks.probability(1) == pytest.approx(0.992)
        assert ranks.probability(2) == pytest.approx(0.1)  # was never offered

    def test_converges_to_the_true_rates(self):
        ranks, rng = RankCalibration(), random.Random(0)
        for _ in range(5000):
            ranks.observe(rng.choices([0, 1, 2, None], [0.2, 0.5, 0.1, 0.2])[0], offered=3)
        assert ranks.probabilities(3) == pytest.approx([0.2, 0.5, 0.1], abs=0.03)

    def test_probabilities_sum_to_less_than_one(self):
        assert sum(RankCalibration(prior=(0.9, 0.9)).probabilities(10)) <= 1

    def test_counts_from_all_threads(self):
        ranks = RankCalibration(prior=(0.5,), strength=1)
        threads = [threading.Thread(target=lambda: [ranks.observe(0, offered=1) for _ in range(500)]) for _ in range(8)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        assert ranks.probability(0) == pytest.approx(4000.5 / 4001)

    @pytest.mark.parametrize("options", [{"prior": ()}, {"prior": (1.5,)}, {"strength": 0}])
    def test_arguments_are_checked(self, options):
        with pytest.raises(InvalidConfiguration):
            RankCalibration(**options)


class TestScoreCalibration:
    def test_a_candidate_far_behind_is_less_likely(self):
        scores = ScoreCalibration()
        near, far = scores.probabilities([50, 40, 30]), scores.probabilities([50, 40, -500])
        assert far[2] < near[2]
        assert far[0] > near[0]
        assert sum(near) == pytest.approx(sum(far)) == pytest.approx(0.7)

    def test_learns_whether_scores_matter(self):
        heed, ignore = ScoreCalibration(), ScoreCalibration()
        rng = random.Random(2)
        for _ in range(300):
            gap = rng.choice([5.0, 400.0])
            heed.observe(0 if gap == 400 else rng.randrange(2), [0.0, -gap])
            ignore.observe(rng.randrange(2), [0.0, -gap])
        assert heed.probabilities([0.0, -400.0])[1] < 0.05
        assert ignore.probabilities([0.0, -400.0]) == pytest.approx([0.49, 0.49], abs=0.05)

    def test_all_is_nearly_certain_where_nothing_else_is_possible(self):
        assert ScoreCalibration().probabilities([30], complete=True) == pytest.approx([0.99])
        assert ScoreCalibration().probabilities([]) == []

    def test_mate_scores_do_not_overflow(self):
        assert sum(ScoreCalibration().probabilities([30_000, -30_000], complete=True)) == pytest.approx(0.99)

    def test_arguments_are_checked(self):
        with pytest.raises(InvalidConfiguration, match="temperatures must be above 0"):
            ScoreCalibration(temperatures=[0.0])


def test_reliability_corrects_claims_towards_what_came_true():
    reliability = Reliability()
    assert reliability.corrected([0.6, 0.2]) == pytest.approx([0.6, 0.2])
    for index in range(400):
        reliability.observe(0 if index % 5 == 0 else 1, [0.6, 0.2])
    first, second = reliability.corrected([0.6, 0.2])
    assert first == pytest.approx(0.2, abs=0.01)
    assert second == pytest.approx(0.79, abs=0.02)


class TestCallableGuesser:
    def test_learns_how_often_each_rank_is_right(self):
        guesser = CallableGuesser(lambda call, k: ["a", "b", "a", "c"])
        assert responses(guesser.guess(call(0), 4)) == ["a", "b", "c"]
        assert responses(guesser.guess(call(0), 2)) == ["a", "b"]
        for index in range(200):
            guesser.guess(call(index), 4)
            guesser.observe(call(index), "b")
        first, second, _ = guesser.guess(call(0), 4)
        assert first.probability < 0.05
        assert second.probability > 0.85

    def test_a_call_that_was_not_guessed_teaches_nothing(self):
        guesser = CallableGuesser(lambda call, k: ["a"])
        guesser.observe(call(1), "a")
        assert guesser.guess(call(2), 1)[0].probability == RankCalibration().probability(0)

    def test_forgets_the_oldest_call(self):
        guesser = CallableGuesser(lambda call, k: ["a"], capacity=1)
        guesser.guess(call(1), 1)
        guesser.guess(call(2), 1)
        guesser.observe(call(1), "a")
        assert guesser.guess(call(3), 1)[0].probability == RankCalibration().probability(0)


class TestFrequencyGuesser:
    def test_knows_nothing_at_first(self):
        assert FrequencyGuesser().guess(call(0), 3) == []

    def test_learns_the_responses_of_each_query(self):
        guesser = FrequencyGuesser()
        for _ in range(9):
            guesser.observe(call(0), "left")
            guesser.observe(call(1), "right")
        assert responses(guesser.guess(call(0), 1)) == ["left"]
        first, second = guesser.guess(call(1), 2)
        assert (first.response, second.response) == ("right", "left")
        assert first.probability > 0.9 > 0.1 > second.probability

    def test_backs_off_to_what_is_frequent_anywhere(self):
        guesser = FrequencyGuesser()
        for query, response in enumerate(["a", "a", "b"]):
            guesser.observe(call(query), response)
        assert [(g.response, g.probability) for g in guesser.guess(call("new"), 3)] == [("a", 0.5), ("b", 0.25)]
        assert guesser.guess(call("new", handler="opponent"), 3) == []

    def test_memory_is_bounded(self):
        guesser = FrequencyGuesser(capacity=2, max_responses=2)
        for query in range(4):
            guesser.observe(call(query), query)
        assert set(responses(guesser.guess(call(0), 9))) == {0, 1}

    def test_keeps_types_apart(self):
        guesser = FrequencyGuesser()
        guesser.observe(call(0), np.int64(1))
        (guess,) = guesser.guess(call(0), 1)
        assert type(guess.response) is np.int64

    def test_learns_a_policy_on_frozen_lake(self):
        env = gym.make("FrozenLake-v1", is_slippery=True)
        guesser, rng, hits = FrequencyGuesser(), random.Random(0), []
        best = {state: rng.randrange(4) for state in range(16)}
        observation, _ = env.reset(seed=0)
        for _ in range(400):
            asked, action = call(observation), best[int(observation)]
            hits.append(action in responses(guesser.guess(asked, 1)))
            guesser.observe(asked, action)
            observation, _, terminated, truncated, _ = env.step(action)
            if terminated or truncated:
                observation, _ = env.reset()
        env.close()
        assert sum(hits[100:]) >= 290


class TestNearestGuesser:
    def test_learns_a_policy_on_cart_pole(self):
        env = gym.make("CartPole-v1")
        guesser, hits = NearestGuesser(), []
        observation, _ = env.reset(seed=0)
        for _ in range(600):
            action = int(observation[2] + 0.5 * observation[3] > 0)
            guesses = guesser.guess(call(observation), 1)
            hits.append(responses(guesses) == [action])
            guesser.observe(call(observation), action)
            observation, _, terminated, truncated, _ = env.step(action)
            if terminated or truncated:
                observation, _ = env.reset()
        env.close()
        assert sum(hits[100:]) / 500 > 0.85

    def test_nearer_neighbours_count_for_more(self):
        guesser = NearestGuesser(neighbours=3)
        for position, response in [(0.0, "a"), (1.0, "b"), (1.1, "b"), (50.0, "c")]:
            guesser.observe(call(np.array([position])), response)
        (a, b) = guesser.guess(call(np.array([0.05])), 2)
        assert (a.response, b.response) == ("a", "b")
        assert a.probability + b.probability < 1

    def test_reads_numbers_in_any_shape_and_nothing_else(self):
        guesser = NearestGuesser()
        query: Any
        for query in (3, np.zeros(3, np.float32), {"a": 1, "b": [2.0, np.zeros((2, 2))]}, (True, 0)):
            assert guesser.guess(call(query), 1) == []
            guesser.observe(call(query), "seen")
            assert responses(guesser.guess(call(query), 1)) == ["seen"]
        for query in ("text", None, {"fen": "8/8", "n": 1}, [], np.array([np.nan])):
            guesser.observe(call(query), "lost")
            assert guesser.guess(call(query), 1) == []

    def test_memory_is_bounded_and_the_oldest_is_overwritten(self):
        guesser = NearestGuesser(neighbours=1, capacity=300)
        for position in range(1000):
            guesser.observe(call(float(position)), position)
        assert responses(guesser.guess(call(0.0), 1)) == [700]
        assert responses(guesser.guess(call(901.2), 1)) == [901]

    def test_arguments_are_checked(self):
        with pytest.raises(InvalidConfiguration, match="neighbours must be an integer of at least 1, not 0"):
            NearestGuesser(neighbours=0)


class Pays:
    """Its guess costs something."""

    def guess(self, call, k, cancel):
        cancel.spend(Usage(tokens_in=1))
        return [Guess("b", 0.5)]


class TestUnionGuesser:
    def test_leaves_out_who_costs_something_and_all_after_where_nothing_may_be_spent(self):
        union = UnionGuesser([Fixed(("a", 0.4)), Pays(), Fixed(("c", 0.1))])
        wide, narrow = CancelToken(), CancelToken()
        narrow.may_spend = False
        assert set(responses(union.guess(call("q"), 3, wide))) == {"a", "b", "c"}
        assert responses(union.guess(call("q"), 3, narrow)) == ["a"]
        assert narrow.usage()[1] == Usage() != wide.usage()[1]

    def test_merges_equal_guesses(self):
        union = UnionGuesser([Fixed(("a", 0.4), ("b", 0.3)), Fixed(("b", 0.4), ("c", 0.1))])
        guesses = union.guess(call(0), 3)
        assert responses(guesses) == ["b", "a", "c"]
        assert sum(guess.probability for guess in guesses) <= 1
        assert len(union.guess(call(0), 1)) == 1

    def test_one_guesser_keeps_its_claims(self):
        union = UnionGuesser([Fixed(("a", 0.4), ("b", 0.3)), Fixed()])
        assert [g.probability for g in union.guess(call(0), 2)] == pytest.approx([0.4, 0.3])

    def test_trusts_whom_it_found_right(self):
        boaster, modest = Fixed(("wrong", 0.9)), Fixed(("right", 0.2))
        union = UnionGuesser([boaster, modest])
        assert responses(union.guess(call(0), 2)) == ["wrong", "right"]
        for index in range(60):
            union.guess(call(index), 2)
            union.observe(call(index), "right")
        first, second = union.guess(call(0), 2)
        assert (first.response, second.response) == ("right", "wrong")
        assert first.probability > 0.8
        assert second.probability < 0.1
        assert boaster.seen == modest.seen == ["right"] * 60

    def test_is_calibrated_where_its_members_say_the_same(self):
        union, rng = UnionGuesser([Fixed(("a", 0.5)), Fixed(("a", 0.5))]), random.Random(0)
        for index in range(500):
            union.guess(call(index), 1)
            union.observe(call(index), "a" if rng.random() < 0.5 else "b")
        assert union.guess(call(0), 1)[0].probability == pytest.approx(0.5, abs=0.06)

    def test_tells_early_what_the_first_members_say(self):
        heard: list[Any] = []
        union = UnionGuesser([Fixed(), Fixed(("a", 0.4)), Broken(), Fixed(("b", 0.6))])
        last = union.guess(call(0), 2, early=heard.append)
        assert [responses(guesses) for guesses in heard] == [["a"], ["a"]]
        assert responses(last) == ["b", "a"]

    def test_learns_from_those_who_spoke_before_it_was_cancelled(self):
        class Waits:
            def guess(self, call, k):
                raise CallCancelled

        boaster = Fixed(("wrong", 0.9))
        union = UnionGuesser([boaster, Waits()])
        for index in range(60):
            with pytest.raises(CallCancelled):
                union.guess(call(index), 1)
            union.observe(call(index), "right")
        heard: list[Any] = []
        with pytest.raises(CallCancelled):
            union.guess(call(0), 1, early=heard.append)
        assert heard[0][0].probability < 0.1

    def test_refuses_members_that_would_have_to_be_awaited(self):
        class Awaited:
            async def guess(self, call, k):
                return []

        with pytest.raises(InvalidConfiguration, match="coroutine function"):
            UnionGuesser([Fixed(), Awaited()])  # type: ignore[list-item]

    def test_a_broken_member_is_skipped_and_counted(self):
        no_list: Any = CallableGuesser(lambda call, k: None)  # type: ignore[arg-type, return-value]  # broken, too
        union = UnionGuesser([Broken(), Fixed(("a", 0.5)), no_list])
        assert responses(union.guess(call(0), 3)) == ["a"]
        union.observe(call(0), "a")
        assert union.failures == (2, 0, 1)

    def test_passes_the_token_on_and_is_cancelled_with_it(self):
        class Waits:
            def guess(self, call, k, cancel):
                cancel.raise_if_cancelled()
                return []

        union, token = UnionGuesser([Waits(), Fixed(("a", 0.5))]), CancelToken()
        assert responses(union.guess(call(0), 1, token)) == ["a"]
        token.cancel()
        with pytest.raises(CallCancelled):
            union.guess(call(0), 1, token)
        assert union.failures == (0, 0)

    def test_closes_its_members(self):
        member = Fixed()
        with UnionGuesser([member, Broken()]):
            pass
        assert member.closed == 1

    def test_needs_a_member(self):
        with pytest.raises(InvalidConfiguration, match="at least one guesser"):
            UnionGuesser([])
