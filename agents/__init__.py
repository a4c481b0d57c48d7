"""Policies and guessers for the environments of ``spec_envs``."""

from importlib import import_module
from typing import TYPE_CHECKING, Any

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
from spec_envs.agents.pattern import PatternGuesser
from spec_envs.agents.union import UnionGuesser

if TYPE_CHECKING:
    from spec_envs.agents.customers import ChatCustomer
    from spec_envs.agents.retail import GoldReplay, RetailPolicy

__all__ = [
    "BuiltinGuesser",
    "BuiltinPolicy",
    "CallableGuesser",
    "ChatCustomer",
    "FrequencyGuesser",
    "GoldReplay",
    "NearestGuesser",
    "PatternGuesser",
    "RandomPolicy",
    "RankCalibration",
    "RecordedGuesser",
    "Reliability",
    "RetailPolicy",
    "ScoreCalibration",
    "StockfishGuesser",
    "StockfishPolicy",
    "UnionGuesser",
]

_RETAIL = {"ChatCustomer": "customers", "GoldReplay": "retail", "RetailPolicy": "retail"}


def __getattr__(name: str) -> Any:
    # Late: the shop's tools bring pydantic along, which nobody else here needs.
    if name in _RETAIL:
        return getattr(import_module(f"spec_envs.agents.{_RETAIL[name]}"), name)
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
