"""The environments' entries in Gymnasium's registry. Entry points are strings, so this imports nothing heavy."""

from __future__ import annotations

import gymnasium as gym

_ENVS = {
    "SpecChess-v0": "spec_envs.chess.env:ChessEnv",
    "SpecRetail-v0": "spec_envs.retail.env:RetailEnv",
    "SpecSearch-v0": "spec_envs.search.env:SearchEnv",
    "SpecTuning-v0": "spec_envs.tuning.env:TuningEnv",
}


def register_envs() -> None:
    """Register every environment of this package that is not registered yet."""
    for name, entry_point in _ENVS.items():
        if name not in gym.registry:
            gym.register(id=name, entry_point=entry_point)
