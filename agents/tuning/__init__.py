"""Tuners for ``SpecTuning-v0``: strategies that choose the next setting, as policies and as guessers.

A strategy is a function of the windows so far, so that it makes the same choice on a branch as in the real episode.
``TuningPolicy`` applies the chosen setting; ``TuningGuesser`` guesses that another tuner will choose this setting.
"""

from spec_envs.agents.tuning.gaussian_process import GaussianProcess
from spec_envs.agents.tuning.hill_climb import HillClimb
from spec_envs.agents.tuning.tuners import Fixed, RandomSearch, SameAgain, Strategy, TuningGuesser, TuningPolicy

__all__ = [
    "Fixed",
    "GaussianProcess",
    "HillClimb",
    "RandomSearch",
    "SameAgain",
    "Strategy",
    "TuningGuesser",
    "TuningPolicy",
]
