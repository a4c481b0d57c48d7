"""The prompts of this library by the names that ``ChatPolicy`` and ``ChatGuesser`` take."""

from __future__ import annotations

from collections.abc import Mapping

from spec_envs import InvalidConfiguration
from spec_envs.agents.llm.prompts.base import GuessPrompt, PolicyPrompt
from spec_envs.agents.llm.prompts.chess import CHESS, CHESS_GUESSES
from spec_envs.agents.llm.prompts.generic import GENERIC
from spec_envs.agents.llm.prompts.retail import RETAIL, RETAIL_GUESSES
from spec_envs.agents.llm.prompts.search import SEARCH_GUESSES
from spec_envs.agents.llm.prompts.tools import TOOL_GUESSES
from spec_envs.agents.llm.prompts.tuning import TUNING, TUNING_GUESSES

_POLICIES = {"chess": CHESS, "retail": RETAIL, "tuning": TUNING}
#: By name, a prompt for each handler; ``"*"`` is any other handler.
_GUESSES: dict[str, Mapping[str, GuessPrompt]] = {
    "chess": CHESS_GUESSES,
    "retail": RETAIL_GUESSES,
    "search": SEARCH_GUESSES,
    "tools": TOOL_GUESSES,
    "tuning": TUNING_GUESSES,
    "generic": {"*": GENERIC},
}


def policy_prompt(name: str) -> PolicyPrompt:
    """Return the prompt of that name.

    Raises:
        InvalidConfiguration: There is no such prompt.
    """
    if name not in _POLICIES:
        raise InvalidConfiguration(f"prompt must be {_listed(_POLICIES)} or a PolicyPrompt, not {name!r}")
    return _POLICIES[name]


def guess_prompts(name: str) -> Mapping[str, GuessPrompt]:
    """Return the prompts of that name by handler.

    Raises:
        InvalidConfiguration: There are no such prompts.
    """
    if name not in _GUESSES:
        raise InvalidConfiguration(f"prompts must be {_listed(_GUESSES)} or a GuessPrompt by handler, not {name!r}")
    return _GUESSES[name]


def _listed(names: Mapping[str, object]) -> str:
    return ", ".join(f'"{name}"' for name in names)
