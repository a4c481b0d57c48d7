"""Gymnasium environments that can be forked, and agents and wrappers that use the time in which they wait.

Importing this package registers the environments (``SpecChess-v0``, ``SpecRetail-v0``, ``SpecSearch-v0``,
``SpecTuning-v0``). ``rollouts`` plays many episodes, over processes or a cluster.
"""

from typing import TYPE_CHECKING, Any

import gymnasium as gym

from spec_envs.call_env import CallEnv
from spec_envs.calls import Call, Effect
from spec_envs.forking import fork
from spec_envs.guesses import Guess, Guesser, Prefetcher, Situation
from spec_envs.handling import CancelToken, Handler
from spec_envs.usage import Usage

if TYPE_CHECKING:
    from spec_envs.wrappers.workers.rollouts import rollouts

__all__ = [
    "Call",
    "CallEnv",
    "CancelToken",
    "Effect",
    "Guess",
    "Guesser",
    "Handler",
    "Prefetcher",
    "Situation",
    "Usage",
    "fork",
    "rollouts",
]


def __getattr__(name: str) -> Any:
    """``rollouts``, which the core does not import: it stands above the wrappers, and is loaded when it is used."""
    if name == "rollouts":
        from spec_envs.wrappers.workers.rollouts import rollouts

        return rollouts
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")


for name, entry_point in (
    ("SpecChess-v0", "spec_envs.chess.env:ChessEnv"),
    ("SpecRetail-v0", "spec_envs.retail.env:RetailEnv"),
    ("SpecSearch-v0", "spec_envs.search.env:SearchEnv"),
    ("SpecTuning-v0", "spec_envs.tuning.env:TuningEnv"),
):  # entry points are texts, so that importing this package loads no environment
    if name not in gym.registry:
        gym.register(id=name, entry_point=entry_point)
