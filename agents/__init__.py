"""Policies and guessers: for each environment, for any domain, and with chat models.

Each environment has a folder: ``chess``, ``retail``, ``search`` and ``tuning``. Guessers for any domain are in
``callable``, ``frequency``, ``nearest``, ``ngram``, ``union``, ``result_guesser`` (results of repeated reads),
``replies`` (messages of users) and ``pattern`` (tool calls). Guessers share ``calibration`` (probabilities),
``log_linear`` (ranking) and ``recent`` (bounded memory). ``llm`` has chat models, and the policies and guessers that
prompt them.

``spec_envs.agents.llm`` and ``spec_envs.agents.tuning`` are public modules of their own.
"""

import importlib
from typing import TYPE_CHECKING, Any

from spec_envs.agents.callable import CallableGuesser
from spec_envs.agents.frequency import FrequencyGuesser
from spec_envs.agents.nearest import NearestGuesser
from spec_envs.agents.ngram import NGramGuesser
from spec_envs.agents.pattern.guesser import PatternGuesser
from spec_envs.agents.replies import ReplyGuesser
from spec_envs.agents.result_guesser import ResultGuesser
from spec_envs.agents.union import UnionGuesser

if TYPE_CHECKING:
    from spec_envs.agents.chess.guessers import BuiltinChessGuesser, RecordedChessGuesser, StockfishGuesser
    from spec_envs.agents.chess.move_guesser import MoveModelGuesser
    from spec_envs.agents.chess.policies import BuiltinChessPolicy, RandomChessPolicy, StockfishPolicy
    from spec_envs.agents.llm import ChatGuesser, ChatModel, ChatPolicy
    from spec_envs.agents.retail.chat_customer import ChatCustomer
    from spec_envs.agents.retail.chat_judge import ChatJudge
    from spec_envs.agents.retail.scripted_policy import GoldReplay, ScriptedRetailPolicy
    from spec_envs.agents.search.action_guesser import SearchGuesser
    from spec_envs.agents.search.page_guesser import PageGuesser
    from spec_envs.agents.search.react_policy import ReActPolicy
    from spec_envs.agents.search.scripted_policy import ScriptedSearchPolicy, SolutionReplay

__all__ = [
    "BuiltinChessGuesser",
    "BuiltinChessPolicy",
    "CallableGuesser",
    "ChatCustomer",
    "ChatGuesser",
    "ChatJudge",
    "ChatModel",
    "ChatPolicy",
    "FrequencyGuesser",
    "GoldReplay",
    "MoveModelGuesser",
    "NGramGuesser",
    "NearestGuesser",
    "PageGuesser",
    "PatternGuesser",
    "RandomChessPolicy",
    "ReActPolicy",
    "RecordedChessGuesser",
    "ReplyGuesser",
    "ResultGuesser",
    "ScriptedRetailPolicy",
    "ScriptedSearchPolicy",
    "SearchGuesser",
    "SolutionReplay",
    "StockfishGuesser",
    "StockfishPolicy",
    "UnionGuesser",
]

#: The modules of names that are imported on first use, because they import the whole of an environment, or pydantic.
_LATE = {
    "BuiltinChessGuesser": "chess.guessers",
    "BuiltinChessPolicy": "chess.policies",
    "ChatCustomer": "retail.chat_customer",
    "ChatGuesser": "llm",
    "ChatJudge": "retail.chat_judge",
    "ChatModel": "llm",
    "ChatPolicy": "llm",
    "GoldReplay": "retail.scripted_policy",
    "MoveModelGuesser": "chess.move_guesser",
    "PageGuesser": "search.page_guesser",
    "RandomChessPolicy": "chess.policies",
    "ReActPolicy": "search.react_policy",
    "RecordedChessGuesser": "chess.guessers",
    "ScriptedRetailPolicy": "retail.scripted_policy",
    "ScriptedSearchPolicy": "search.scripted_policy",
    "SearchGuesser": "search.action_guesser",
    "SolutionReplay": "search.scripted_policy",
    "StockfishGuesser": "chess.guessers",
    "StockfishPolicy": "chess.policies",
}


def __getattr__(name: str) -> Any:
    if name in _LATE:
        return getattr(importlib.import_module(f"spec_envs.agents.{_LATE[name]}"), name)
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
