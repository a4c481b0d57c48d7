"""Policies and guessers for the environments of ``spec_envs``."""

import importlib
from typing import TYPE_CHECKING, Any

from spec_envs.agents.calibration import RankCalibration, Reliability, ScoreCalibration
from spec_envs.agents.chess import (
    BuiltinChessGuesser,
    BuiltinChessPolicy,
    RandomChessPolicy,
    RecordedChessGuesser,
    StockfishGuesser,
    StockfishPolicy,
)
from spec_envs.agents.guessers import CallableGuesser, FrequencyGuesser, NearestGuesser
from spec_envs.agents.llm import ChatGuesser, ChatModel, ChatPolicy
from spec_envs.agents.ngram import NGramGuesser
from spec_envs.agents.pattern import PatternGuesser
from spec_envs.agents.replies import ReplyGuesser
from spec_envs.agents.union import UnionGuesser

if TYPE_CHECKING:
    from spec_envs.agents.customers import ChatCustomer
    from spec_envs.agents.react import ReActPolicy
    from spec_envs.agents.retail import GoldReplay, RetailPolicy
    from spec_envs.agents.search import SearchPolicy, SolutionReplay
    from spec_envs.agents.search_guessers import PageGuesser, SearchGuesser

__all__ = [
    "BuiltinChessGuesser",
    "BuiltinChessPolicy",
    "CallableGuesser",
    "ChatCustomer",
    "ChatGuesser",
    "ChatModel",
    "ChatPolicy",
    "FrequencyGuesser",
    "GoldReplay",
    "NGramGuesser",
    "NearestGuesser",
    "PageGuesser",
    "PatternGuesser",
    "RandomChessPolicy",
    "RankCalibration",
    "ReActPolicy",
    "RecordedChessGuesser",
    "Reliability",
    "ReplyGuesser",
    "RetailPolicy",
    "ScoreCalibration",
    "SearchGuesser",
    "SearchPolicy",
    "SolutionReplay",
    "StockfishGuesser",
    "StockfishPolicy",
    "UnionGuesser",
]

#: Names whose modules are imported on first use: what they bring along, nobody else here needs.
_LATE = {
    "ChatCustomer": "customers",
    "GoldReplay": "retail",
    "ReActPolicy": "react",
    "RetailPolicy": "retail",
    "PageGuesser": "search_guessers",
    "SearchGuesser": "search_guessers",
    "SearchPolicy": "search",
    "SolutionReplay": "search",
}


def __getattr__(name: str) -> Any:
    if name in _LATE:
        return getattr(importlib.import_module(f"spec_envs.agents.{_LATE[name]}"), name)
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
