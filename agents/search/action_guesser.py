"""``SearchGuesser``: an agent's next action in ``SpecSearch-v0``, predicted in milliseconds and without an LLM."""

import functools
import json
from collections.abc import Mapping
from importlib import resources
from typing import Any

from spec_envs import Call, Guess
from spec_envs.agents.log_linear import Ranker
from spec_envs.agents.log_odds import LogOddsCalibration
from spec_envs.agents.recent import Recent
from spec_envs.agents.search.action_model import ActionModel, Decision, PastActions, decide
from spec_envs.agents.search.situation import Situation
from spec_envs.pickling import Lock
from spec_envs.search.actions import Act, read_action

#: The number of predictions that are always made, so that the calibration by rank does not depend on ``k``.
_WIDTH = 8


class SearchGuesser:
    """Guesses an agent's next action from the question and the pages found so far.

    Candidates are read from the observation: names and quoted titles in the question, names and figures on the pages
    found, titles that were offered as similar, words of the question to look up, "yes" and "no". A log-linear model
    ranks them by features such as the position in the question, the words before and after, earlier searches, nearby
    words of the question, and the kind of question. Actions that followed the same situation in earlier episodes are
    remembered. Learns online from every action. Thread-safe.

    The model starts with weights that were fitted offline (``weights.json``; see ``docs/search.md``). Its probabilities
    are corrected online.

    Args:
        model: The model to start with. Default: the weights fitted offline.
        capacity: The number of calls that are remembered until their responses are observed.
    """

    def __init__(self, *, model: ActionModel | None = None, capacity: int = 256) -> None:
        self._model = ActionModel(Ranker.from_json(_weights())) if model is None else model
        self._calibration = LogOddsCalibration()
        self._past = PastActions()
        self._decisions: Recent[Decision] = Recent(capacity)
        self._lock = Lock()

    def guess(self, call: Call, k: int) -> list[Guess]:
        """Return at most ``k`` guesses of the policy's action as text, most likely first."""
        decision = self._decision(call)
        if decision is None:
            return []
        with self._lock:
            ranked = self._ranked(decision)
            probabilities = self._calibration.corrected([p for _, p in ranked])
        return [Guess(str(act), p) for (act, _), p in zip(ranked[:k], probabilities, strict=False)]

    def observe(self, call: Call, response: Any) -> None:
        """Learn from the agent's action."""
        decision = self._decision(call)
        if decision is None:
            return
        done = read_action(response)
        act = done if isinstance(done, Act) else None
        with self._lock:
            ranked = self._ranked(decision)
            wanted = str(act).lower()
            rank = next((number for number, (each, _) in enumerate(ranked) if str(each).lower() == wanted), None)
            self._calibration.observe(() if rank is None else (rank,), [p for _, p in ranked])
            self._model.learn(decision, act)
        if act is not None:
            self._past.add(decision.situation, act)

    def _decision(self, call: Call) -> Decision | None:
        decision = self._decisions.get(call.key)
        if decision is None and isinstance(call.query, Mapping) and {"question", "transcript"} <= call.query.keys():
            decision = decide(Situation(call.query))
            self._decisions.put(call.key, decision)
        return decision

    def _ranked(self, decision: Decision) -> list[tuple[Act, float]]:
        """Return the most likely actions: a remembered action shares the probability with the model's candidates."""
        chances = dict(zip(decision.acts, self._model.probabilities(decision), strict=True))
        recalled = self._past.recall(decision.situation)
        if recalled is not None:
            act, sure = recalled
            chances = {each: (1 - sure) * p for each, p in chances.items()}
            chances[act] = chances.get(act, 0.0) + sure
        return sorted(chances.items(), key=lambda item: -item[1])[:_WIDTH]


@functools.cache
def _weights() -> dict[str, Any]:
    text = resources.files("spec_envs.agents.search").joinpath("weights.json").read_text(encoding="utf-8")
    weights: dict[str, Any] = json.loads(text)
    return weights
