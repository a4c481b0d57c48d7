"""``SearchGuesser``: what an agent will do next in ``SpecSearch-v0``, in milliseconds and without an LLM."""

from __future__ import annotations

import functools
import json
import threading
from collections.abc import Mapping
from importlib import resources
from typing import Any

from spec_envs.agents.guessers import Recent
from spec_envs.agents.pattern.curve import Curve
from spec_envs.agents.pattern.ranker import Ranker
from spec_envs.agents.search_guessers.memory import Memory
from spec_envs.agents.search_guessers.model import ActionModel, Decision, decide
from spec_envs.agents.search_guessers.situation import Situation
from spec_envs.calls import Call
from spec_envs.guesses import Guess
from spec_envs.search.actions import Act, read_action

__all__ = ["SearchGuesser"]

#: Predictions that are made whatever ``k`` is, so that what is learned of their ranks does not depend on it.
_WIDTH = 8


class SearchGuesser:
    """Guesses an agent's next action from the question and from what was found so far.

    What it may be is read from the observation: names and quoted titles of the question, names and figures of the pages
    found, titles that were offered as similar, words of the question to look up, "yes" and "no". How probable each is
    says a log-linear model of where it stands: its place in the question, what stands before and after it, whether it
    was asked for before, which words of the question are near it, what kind of question it is, …. What an agent did in
    the same place before is remembered. Learns online from every action; thread-safe.

    It begins with weights that were fitted offline (``weights.json``; ``docs/search.md`` says to what), and corrects
    their probabilities by what came true.

    Args:
        model: What to begin with instead.
        capacity: Calls that are remembered until they are observed.
    """

    def __init__(self, *, model: ActionModel | None = None, capacity: int = 256) -> None:
        self._model = ActionModel(Ranker.from_json(_weights())) if model is None else model
        self._curve = Curve()
        self._memory = Memory()
        self._decisions: Recent[Decision] = Recent(capacity)
        self._lock = threading.Lock()

    def guess(self, call: Call, k: int) -> list[Guess]:
        """At most ``k`` guesses of the response to a call of the policy, most likely first; actions as text."""
        decision = self._decision(call)
        if decision is None:
            return []
        with self._lock:
            ranked = self._ranked(decision)
            probabilities = self._curve.corrected([p for _, p in ranked])
        return [Guess(str(act), p) for (act, _), p in zip(ranked[:k], probabilities, strict=False)]

    def observe(self, call: Call, response: Any) -> None:
        """Learn from what the agent did."""
        decision = self._decision(call)
        if decision is None:
            return
        done = read_action(response)
        act = done if isinstance(done, Act) else None
        with self._lock:
            ranked = self._ranked(decision)
            wanted = str(act).lower()
            rank = next((number for number, (each, _) in enumerate(ranked) if str(each).lower() == wanted), None)
            self._curve.observe(() if rank is None else (rank,), [p for _, p in ranked])
            self._model.learn(decision, act)
        if act is not None:
            self._memory.add(decision.situation, act)

    def _decision(self, call: Call) -> Decision | None:
        decision = self._decisions.get(call.key)
        if decision is None and isinstance(call.query, Mapping) and {"question", "transcript"} <= call.query.keys():
            decision = decide(Situation(call.query))
            self._decisions.put(call.key, decision)
        return decision

    def _ranked(self, decision: Decision) -> list[tuple[Act, float]]:
        """The most likely actions: what is remembered, and what the model says of the rest."""
        chances = dict(zip(decision.acts, self._model.probabilities(decision), strict=True))
        recalled = self._memory.recall(decision.situation)
        if recalled is not None:
            act, sure = recalled
            chances = {each: (1 - sure) * p for each, p in chances.items()}
            chances[act] = chances.get(act, 0.0) + sure
        return sorted(chances.items(), key=lambda item: -item[1])[:_WIDTH]


@functools.cache
def _weights() -> dict[str, Any]:
    text = resources.files("spec_envs.agents.search_guessers").joinpath("weights.json").read_text(encoding="utf-8")
    weights: dict[str, Any] = json.loads(text)
    return weights
