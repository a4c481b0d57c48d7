"""Gymnasium environments that can be forked, and agents and wrappers that use the time in which they wait.

Importing this package registers the environments (``SpecChess-v0``, ``SpecRetail-v0``, ``SpecSearch-v0``,
``SpecTuning-v0``).
"""

from spec_envs.call_env import CallEnv
from spec_envs.calls import Call, Effect
from spec_envs.errors import (
    CallCancelled,
    CallPending,
    EnvClosed,
    HandlerFailed,
    InvalidAction,
    InvalidConfiguration,
    NotForkable,
    RecordMissing,
    ResetNeeded,
    SpecEnvsError,
    UnknownHandler,
)
from spec_envs.forking import fork
from spec_envs.guesses import Guess, Guesser
from spec_envs.handling import CancelToken, Handler, Usage
from spec_envs.prefetch import Prefetcher, Situation
from spec_envs.registration import register_envs

__all__ = [
    "Call",
    "CallCancelled",
    "CallEnv",
    "CallPending",
    "CancelToken",
    "Effect",
    "EnvClosed",
    "Guess",
    "Guesser",
    "Handler",
    "HandlerFailed",
    "InvalidAction",
    "InvalidConfiguration",
    "NotForkable",
    "Prefetcher",
    "RecordMissing",
    "ResetNeeded",
    "Situation",
    "SpecEnvsError",
    "UnknownHandler",
    "Usage",
    "fork",
]

register_envs()
