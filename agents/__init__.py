"""Policies and guessers for the environments of ``spec_envs``."""

from spec_envs.agents.calibration import RankCalibration, Reliability, ScoreCalibration
from spec_envs.agents.chess import (
    BuiltinGuesser,
    BuiltinPolicy,
    RandomPolicy,
    RecordedGuesser,
    StockfishGuesser,
    StockfishPolicy,
)
from spec_envs.agents.guessers import CallableGuesser, FrequencyGuesser, NearestGuesser
from spec_envs.agents.union import UnionGuesser

__all__ = [
    "BuiltinGuesser",
    "BuiltinPolicy",
    "CallableGuesser",
    "FrequencyGuesser",
    "NearestGuesser",
    "RandomPolicy",
    "RankCalibration",
    "RecordedGuesser",
    "Reliability",
    "ScoreCalibration",
    "StockfishGuesser",
    "StockfishPolicy",
    "UnionGuesser",
]
