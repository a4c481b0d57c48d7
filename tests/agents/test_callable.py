"""Every policy, opponent, customer and model of the library is called as any handler is, with or without a token."""

from __future__ import annotations

import functools
from collections.abc import Callable
from typing import Any, NamedTuple

import gymnasium as gym
import pytest

import spec_envs  # noqa: F401  (registers the environments)
from spec_envs import CancelToken, agents
from spec_envs.agents.llm import ChatRequest, Completion
from spec_envs.agents.tuning import Fixed, TuningPolicy
from spec_envs.chess.opponents import BuiltinOpponent, RandomOpponent, StockfishOpponent
from spec_envs.chess.position import Position
from spec_envs.handling import as_handler
from spec_envs.retail.customers import scripted_customer
from spec_envs.retail.loading import load_tasks
from spec_envs.retail.queries import CustomerQuery, JudgeQuery
from spec_envs.search.loading import load_questions
from tests.players import needs_stockfish


def says(text: str) -> Callable[[ChatRequest], Completion]:
    """A model that always gives the same answer, and takes no token."""
    return functools.partial(_say, text)


def _say(text: str, request: ChatRequest) -> Completion:
    return Completion(text=text)


class Case(NamedTuple):
    make: Callable[[], Any]
    environment: str
    handler: str = "policy"


CASES = {
    "BuiltinChessPolicy": Case(agents.BuiltinChessPolicy, "SpecChess-v0"),
    "RandomChessPolicy": Case(agents.RandomChessPolicy, "SpecChess-v0"),
    "StockfishPolicy": Case(lambda: agents.StockfishPolicy(depth=1), "SpecChess-v0"),
    "ChatPolicy chess": Case(lambda: agents.ChatPolicy(says("Move: e2e4"), "chess"), "SpecChess-v0"),
    "BuiltinOpponent": Case(BuiltinOpponent, "SpecChess-v0", "opponent"),
    "RandomOpponent": Case(RandomOpponent, "SpecChess-v0", "opponent"),
    "StockfishOpponent": Case(lambda: StockfishOpponent(depth=1), "SpecChess-v0", "opponent"),
    "ChatPolicy opponent": Case(lambda: agents.ChatPolicy(says("e2e4"), "chess"), "SpecChess-v0", "opponent"),
    "ScriptedRetailPolicy": Case(agents.ScriptedRetailPolicy, "SpecRetail-v0"),
    "GoldReplay": Case(lambda: agents.GoldReplay(load_tasks()[0]), "SpecRetail-v0"),
    "ChatPolicy retail": Case(lambda: agents.ChatPolicy(says("Hello!"), "retail"), "SpecRetail-v0"),
    "ChatCustomer": Case(lambda: agents.ChatCustomer(says("Hello!")), "SpecRetail-v0", "user"),
    "ChatJudge": Case(lambda: agents.ChatJudge(says("1: polite: true")), "SpecRetail-v0", "judge"),
    "scripted_customer": Case(lambda: scripted_customer, "SpecRetail-v0", "user"),
    "ScriptedSearchPolicy": Case(agents.ScriptedSearchPolicy, "SpecSearch-v0"),
    "SolutionReplay": Case(lambda: agents.SolutionReplay(load_questions("embedded")[0]), "SpecSearch-v0"),
    "ReActPolicy": Case(lambda: agents.ReActPolicy(says("Thought: -\nAction: finish[x]")), "SpecSearch-v0"),
    "TuningPolicy": Case(lambda: TuningPolicy(Fixed({}), knobs()), "SpecTuning-v0"),
}
NEED_STOCKFISH = {"StockfishPolicy", "StockfishOpponent"}


def knobs() -> Any:
    with gym.make("SpecTuning-v0") as env:
        return env.get_wrapper_attr("knobs")


def query_of(case: Case) -> Any:
    if case.handler == "opponent":
        return Position()
    if case.handler == "user":
        return CustomerQuery(("Hi! How can I help you today?",), load_tasks()[0], 0)
    if case.handler == "judge":
        return JudgeQuery(('{"role": "assistant", "content": "Hi!"}',), ("The agent was polite.",))
    with gym.make(case.environment) as env:
        return env.reset(seed=0)[0]


@pytest.mark.parametrize(
    "name", [pytest.param(name, marks=needs_stockfish if name in NEED_STOCKFISH else ()) for name in CASES]
)
def test_is_called_with_or_without_a_token(name):
    case = CASES[name]
    handler, query = case.make(), query_of(case)
    try:
        assert handler(query) == as_handler(handler)(query, CancelToken())
    finally:
        getattr(handler, "close", lambda: None)()


def test_the_table_holds_every_policy_customer_and_judge():
    names = {name for name in agents.__all__ if name.endswith(("Policy", "Replay", "Customer", "Judge"))}
    assert {name.partition(" ")[0] for name in CASES} >= names
