"""Many games at once: Gymnasium's vector environments of ``SpecChess-v0``, beside PettingZoo's chess through SuperSuit.

A step of ours is a ply of each side in every game; a step of PettingZoo's is a ply of one side. Times are of the
processor, worker processes included, and the two take turns, so that a busy machine slows down both.
"""

import contextlib
import functools
import importlib.util
import random
import statistics
from collections.abc import Callable, Iterator
from typing import Any

import gymnasium as gym
import numpy as np
import psutil

from spec_envs.benchmarks.overhead import Measured
from spec_envs.benchmarks.overhead.chess import pettingzoo_is_installed

GAMES = 64
#: How often each has its turn, and for how many steps.
ROUNDS, STEPS = 5, 10
WITHOUT_SUPERSUIT = "SuperSuit is not installed (pip install supersuit), so vectors of chess_v6 were not measured."


def figures() -> Iterator[Measured]:
    """One process, and as many as the machine has cores; nothing without PettingZoo and SuperSuit."""
    if pettingzoo_is_installed() and supersuit_is_installed():
        yield from _beside("SyncVectorEnv", gym.vector.SyncVectorEnv, num_cpus=0)
        # Copies of this process: spawned workers would import everything anew, 64 times.
        forked = functools.partial(gym.vector.AsyncVectorEnv, context="fork")
        yield from _beside("AsyncVectorEnv", forked, num_cpus=psutil.cpu_count() or 1)


def supersuit_is_installed() -> bool:
    """Whether SuperSuit is installed, which makes vectors of PettingZoo's environments."""
    return importlib.util.find_spec("supersuit") is not None


def _beside(name: str, vector: Callable[..., Any], num_cpus: int) -> Iterator[Measured]:
    with contextlib.closing(_ours(vector)) as ours, contextlib.closing(_theirs(num_cpus)) as theirs:
        players = [_stepping(theirs, _masks_of_observations), _stepping(ours, _masks_of_infos)]
        rounds = [[_step_ms(player) for player in players] for _ in range(ROUNDS)]
    their_ms, our_ms = (statistics.median(times) for times in zip(*rounds, strict=True))
    processes = "one process" if num_cpus == 0 else f"{num_cpus} processes"
    yield Measured(
        f"chess_v6 through SuperSuit, {GAMES} games, {processes}: a step (a ply of each game)", "ms", their_ms
    )
    title = f"{name} of {GAMES} SpecChess-v0: a step (two plies of each game)"
    yield Measured(title, "ms", our_ms, their_ms)


def _ours(vector: Callable[..., Any]) -> Any:
    return vector([_our_game] * GAMES)


def _our_game() -> gym.Env[Any, Any]:
    return gym.make("SpecChess-v0", opponent="random", action_format="index", observation="planes")


def _theirs(num_cpus: int) -> Any:
    import supersuit  # pyright: ignore[reportMissingImports]
    from pettingzoo.classic import chess_v6
    from pettingzoo.utils.conversions import turn_based_aec_to_parallel

    env = chess_v6.env()
    env.metadata["is_parallelizable"] = True  # what the conversion asks for; each game's players take turns
    one_game = supersuit.pettingzoo_env_to_vec_env_v1(turn_based_aec_to_parallel(env))
    return supersuit.concat_vec_envs_v1(one_game, GAMES, num_cpus=num_cpus, base_class="gymnasium")


def _stepping(env: Any, masks_of: Callable[[Any, Any], Any]) -> Iterator[None]:
    """Plays random legal moves in all games, on and on."""
    rng = random.Random(0)
    observation, info = env.reset(seed=0)
    while True:
        legal = (np.flatnonzero(mask) for mask in masks_of(observation, info))
        actions = [int(rng.choice(moves)) if len(moves) else 0 for moves in legal]
        observation, _, _, _, info = env.step(np.array(actions))
        yield


def _masks_of_observations(observation: Any, info: Any) -> Any:
    return observation["action_mask"]


def _masks_of_infos(observation: Any, info: Any) -> Any:
    return info["action_mask"]


def _step_ms(player: Iterator[None]) -> float:
    """Milliseconds of the processors for a step, in the next ``STEPS`` steps."""
    start = _processor_s()
    for _ in range(STEPS):
        next(player)
    return (_processor_s() - start) / STEPS * 1e3


def _processor_s() -> float:
    """Seconds that this process and its children have computed so far."""
    me = psutil.Process()
    return sum(times.user + times.system for times in (each.cpu_times() for each in (me, *me.children(recursive=True))))
