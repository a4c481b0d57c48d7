"""Episodes of the four environments that are played by tool calls. Shared by all integrations of tool-calling models.

A ``Domain`` holds the tools of an environment, the first text for the model, and the text after a call. A
``ToolEpisode`` plays one environment with these tools. This module does not depend on any of the integrated packages.
"""

from __future__ import annotations

import dataclasses
import json
import os
from collections.abc import Callable, Mapping
from typing import Any

import gymnasium as gym

import spec_envs  # noqa: F401  (registers the environments)
from spec_envs.errors import InvalidAction, ResetNeeded
from spec_envs.retail.loading import BUILT_IN, load_data
from spec_envs.retail.store.notation import Dialect
from spec_envs.retail.tools.table import TOOL_SETS

Wrap = Callable[[gym.Env[Any, Any]], gym.Env[Any, Any]]

#: The text for a model that calls a tool after the end of the episode.
OVER = "The episode has ended."


@dataclasses.dataclass(frozen=True, slots=True)
class Domain:
    """How one environment is played by tool calls.

    Attributes:
        env_id: The id of the environment.
        options: The options of the environment, chosen so that models can read the observations.
        chosen_by: The options of ``reset`` that a row of a data set may hold.
        schemas: The tools, in OpenAI's form.
        action: ``action(name, arguments)`` returns the action for a tool call.
        opening: ``opening(observation)`` returns the first text for the model.
        told: ``told(observation, info)`` returns the text for the model after a step.
        says: The tool that sends a text that the model writes without a tool call; ``None``: such text is ignored.
    """

    env_id: str
    options: Mapping[str, Any]
    chosen_by: tuple[str, ...]
    schemas: tuple[Mapping[str, Any], ...]
    action: Callable[[str, Mapping[str, Any]], Any]
    opening: Callable[[Any], str]
    told: Callable[[Any, Mapping[str, Any]], str]
    says: str | None = None


class ToolEpisode:
    """Plays one environment, episode after episode.

    Args:
        domain: The environment and its tools.
        wrap: Adds wrappers to the environment, such as ``SpeculativeWrapper`` with guessers, which guesses the next
            action while the model thinks.
        **options: Options of the environment.
    """

    def __init__(self, domain: Domain, wrap: Wrap | None = None, **options: Any) -> None:
        env = gym.make(domain.env_id, **{**domain.options, **options})
        self._domain, self._env = domain, env if wrap is None else wrap(env)
        self.reward, self.info = 0.0, dict[str, Any]()
        self._is_over: bool | None = None  # there is no episode

    def begin(self, row: Mapping[str, Any]) -> str:
        """Begin the episode of a row of a data set (``seed``, and ``Domain.chosen_by``); returns the first text."""
        options = {name: row[name] for name in self._domain.chosen_by if row.get(name) is not None}
        observation, self.info = self._env.reset(seed=row.get("seed"), options=options or None)
        self.reward, self._is_over = 0.0, False
        return self._domain.opening(observation)

    def call(self, name: str, arguments: Mapping[str, Any]) -> str:
        """Call a tool; returns the text for the model. An invalid call changes nothing, and its text is an error.

        Raises:
            ResetNeeded: No episode has begun.
        """
        if self._is_over is None:
            raise ResetNeeded("no episode has begun: call reset first")
        if self._is_over:
            return OVER
        try:
            step = self._env.step(self._domain.action(name, arguments))
        except InvalidAction as error:
            return f"Error: {error}"
        observation, reward, terminated, truncated, self.info = step
        self.reward += float(reward)
        self._is_over = terminated or truncated
        told = self._domain.told(observation, self.info)
        return f"{told}\n{OVER}" if self._is_over else told

    @property
    def is_over(self) -> bool:
        """Whether the episode has ended."""
        return self._is_over is True

    @property
    def env(self) -> gym.Env[Any, Any]:
        """The environment with its wrappers."""
        return self._env

    def close(self) -> None:
        """Close the environment."""
        self._env.close()


def tool_schema(name: str, description: str, **parameters: str | Mapping[str, Any]) -> dict[str, Any]:
    """A tool in OpenAI's form. All parameters are required; one that is given as a description is a string."""
    properties = {
        each: {"type": "string", "description": given} if isinstance(given, str) else dict(given)
        for each, given in parameters.items()
    }
    form = {"type": "object", "properties": properties, "required": list(properties), "additionalProperties": False}
    return {"type": "function", "function": {"name": name, "description": description, "parameters": form}}


def _named(name: str, arguments: Mapping[str, Any]) -> dict[str, Any]:
    return {"name": name, "arguments": dict(arguments)}


def _search_opening(observation: Mapping[str, Any]) -> str:
    return (
        f"Question: {observation['question']}\nAnswer it with the tools search, lookup and finish. You have "
        f"{observation['steps_left']} calls; finish ends the episode, and only the answer given to it counts."
    )


def _last_message(observation: Mapping[str, Any]) -> str:
    return str(json.loads(observation["dialogue"])[-1]["content"])


def _retail_opening(observation: Mapping[str, Any]) -> str:
    return (
        f"{observation['policy']}\nTalk to the customer with the tool respond; only what it is given is heard. "
        f"The customer says: {_last_message(observation)}"
    )


def _retail(dialect: Dialect) -> Domain:
    respond = tool_schema("respond", "Says something to the customer, and hears the answer.", content="What to say.")
    return Domain(
        "SpecRetail-v0",
        {},
        ("task",),
        (*TOOL_SETS[dialect].schemas, respond),
        lambda name, given: {"name": name, "kwargs": dict(given)} if name == "respond" else _named(name, given),
        _retail_opening,
        lambda observation, info: _last_message(observation),
        says="respond",
    )


def _board(observation: Mapping[str, Any]) -> str:
    return f"FEN: {observation['fen']}\nLegal moves: {observation['legal_moves']}"


def _chess_told(observation: Mapping[str, Any], info: Mapping[str, Any]) -> str:
    if info["outcome"] is not None:
        return f"{info['outcome']}; winner: {info['winner'] or 'nobody'}."
    return f"The opponent played {info['opponent_move']}.\n{_board(observation)}"


def _tuning_told(observation: str, info: Mapping[str, Any]) -> str:
    return json.dumps(json.loads(observation)["windows"][-1])


SEARCH = Domain(
    "SpecSearch-v0",
    {},
    ("question",),
    (
        tool_schema("search", "Reads the beginning of a page of the encyclopedia.", entity="The name of the page."),
        tool_schema("lookup", "Reads the next sentence of that page with a word.", keyword="The word to look for."),
        tool_schema("finish", "Gives the answer, and ends the episode.", answer="The answer, as short as can be."),
    ),
    _named,
    _search_opening,
    lambda observation, info: str(observation["observation"]),
)

#: The retail domain of each benchmark; their tools differ.
RETAIL: Mapping[Dialect, Domain] = {dialect: _retail(dialect) for dialect in TOOL_SETS}


def retail_for(data: str | os.PathLike[str]) -> Domain:
    """The domain of the benchmark to which the data belong.

    Raises:
        InvalidConfiguration: ``data`` are not retail data.
    """
    return RETAIL["tau-bench" if os.fspath(data) in BUILT_IN else load_data(data).dialect]


CHESS = Domain(
    "SpecChess-v0",
    {},
    ("fen", "pgn", "opening", "color"),
    (tool_schema("move", "Plays a move, and waits for the opponent's.", uci="The move in UCI notation, like e2e4."),),
    lambda name, given: given["uci"],
    lambda seen: f"You play {seen['turn']}. Win the game with the tool move.\n{_board(seen)}",
    _chess_told,
)

TUNING = Domain(
    "SpecTuning-v0",
    {"observation": "text", "action_format": "json"},
    ("start",),
    (
        tool_schema(
            "measure",
            "Applies a setting, and measures the workload under it for one window.",
            setting={"type": "object", "description": "Values by the names of knobs; other knobs stay as they are."},
        ),
    ),
    lambda name, given: json.dumps(given["setting"]),
    lambda seen: f"Set the knobs with the tool measure so that the goal is reached.\n{seen}",
    _tuning_told,
)
