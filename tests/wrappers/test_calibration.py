"""Corrected probabilities: claims that are wrong become right, and those that are right stay."""

from __future__ import annotations

import math
import random
from collections.abc import Callable, Iterator

import pytest
from hypothesis import given
from hypothesis import strategies as st

from spec_envs.wrappers.calibration import Calibration

Claims = list[float]
Distort = Callable[[Claims], Claims]


def truths(rng: random.Random) -> Claims:
    """Probabilities of three guesses, as a guesser might have them that knows something of the single call."""
    sure = rng.betavariate(2, 2)
    return [sure, (1 - sure) * 0.5, (1 - sure) * 0.2]


def stream(distort: Distort, count: int, seed: int) -> Iterator[tuple[Claims, Claims, int | None]]:
    """What is true, what is claimed, and which guess was right."""
    rng = random.Random(seed)
    for _ in range(count):
        true, draw, right = truths(rng), rng.random(), None
        for rank, p in enumerate(true):
            if draw < p:
                right = rank
                break
            draw -= p
        yield true, distort(true), right


def error(pairs: list[tuple[float, bool]]) -> float:
    """The expected calibration error, in ten bins."""
    bins: dict[int, list[tuple[float, bool]]] = {}
    for claim, hit in pairs:
        bins.setdefault(min(9, int(claim * 10)), []).append((claim, hit))
    gaps = [abs(sum(c for c, _ in each) - sum(h for _, h in each)) for each in bins.values()]
    return sum(gaps) / len(pairs)


def log_odds(p: float) -> float:
    p = min(0.999, max(0.001, p))
    return math.log(p / (1 - p))


def shifted(by: float, slope: float = 1.0) -> Distort:
    return lambda claims: [1 / (1 + math.exp(-(slope * log_odds(p) + by))) for p in claims]


DISTORTIONS = {
    "boasts": shifted(1.6),
    "doubts": shifted(-1.6),
    "exaggerates": lambda claims: [0.97, 0.6, 0.4],
    "mutters": lambda claims: [0.08 + 0.02 * p for p in claims],
}


def observed(distort: Distort, count: int, seed: int) -> Calibration:
    calibration = Calibration()
    for _, claims, right in stream(distort, count, seed):
        calibration.observe(claims, right)
    return calibration


def errors(distort: Distort, calibration: Calibration, seed: int) -> tuple[float, float]:
    """The calibration error of the claims, and of the corrected claims, on what comes next."""
    claimed: list[tuple[float, bool]] = []
    corrected: list[tuple[float, bool]] = []
    for _, claims, right in stream(distort, 4000, seed):
        hits = [rank == right for rank in range(len(claims))]
        claimed += zip(claims, hits, strict=True)
        corrected += zip(calibration.corrected(claims), hits, strict=True)
    return error(claimed), error(corrected)


@pytest.mark.parametrize("name", DISTORTIONS)
def test_wrong_claims_come_to_6_percent_after_250_responses(name):
    before, after = errors(DISTORTIONS[name], observed(DISTORTIONS[name], 250, seed=1), seed=2)
    assert before > 0.17
    assert after <= 0.06


@pytest.mark.parametrize("count", [0, 4, 20, 50, 250, 1000])
def test_good_claims_stay(count):
    calibration = observed(lambda claims: claims, count, seed=3)
    gaps = [
        abs(p - corrected)
        for true, claims, _ in stream(lambda claims: claims, 500, seed=4)
        for p, corrected in zip(true, calibration.corrected(claims), strict=True)
    ]
    assert sum(gaps) / len(gaps) <= 0.02


def test_what_is_known_of_the_single_call_stays():
    """A count of hits for each rank would make all calls alike."""
    calibration = observed(DISTORTIONS["boasts"], 400, seed=5)
    low, high = (calibration.corrected(DISTORTIONS["boasts"]([p, 0.1, 0.1]))[0] for p in (0.2, 0.8))
    assert high - low > 0.45


def test_a_guesser_that_becomes_better_is_followed():
    calibration = observed(DISTORTIONS["exaggerates"], 300, seed=6)
    for _, claims, right in stream(lambda claims: claims, 600, seed=7):
        calibration.observe(claims, right)
    _, after = errors(lambda claims: claims, calibration, seed=8)
    assert after <= 0.06


PROBABILITIES = st.lists(st.floats(0.0, 1.0), max_size=12)


@given(st.lists(st.tuples(PROBABILITIES, st.none() | st.integers(0, 12)), max_size=30), PROBABILITIES)
def test_whatever_was_observed_probabilities_remain(observations, claims):
    calibration = Calibration()
    for given_claims, right in observations:
        calibration.observe(given_claims, right)
    corrected = calibration.corrected(claims)
    assert len(corrected) == len(claims)
    assert all(0.0 <= p <= 1.0 for p in corrected)
    assert all(p == 0.0 for p, claim in zip(corrected, claims, strict=True) if claim == 0.0)


def test_saved_and_loaded_it_corrects_alike():
    calibration = observed(DISTORTIONS["boasts"], 100, seed=9)
    again = Calibration.from_json(calibration.to_json())
    claims = [0.7, 0.2, 0.05]
    assert again.corrected(claims) == pytest.approx(calibration.corrected(claims), abs=1e-3)
