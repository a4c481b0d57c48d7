"""stable-baselines3 takes the environments as they are, and its models are policies as they are."""

from __future__ import annotations

import json
import re
import sys
from typing import Any

import gymnasium as gym
import numpy as np
import pytest

import spec_envs  # noqa: F401  (registers the environments)
from spec_envs.agents import BuiltinChessGuesser
from spec_envs.wrappers import SpeculativeWrapper
from tests.commands import succeed
from tests.sources import ROOT

sb3: Any = pytest.importorskip("stable_baselines3", reason="needs the extra sb3: make hubs")
checker: Any = pytest.importorskip("stable_baselines3.common.env_checker")

pytestmark = [pytest.mark.hubs, pytest.mark.timeout(600), pytest.mark.filterwarnings("ignore")]

CHESS: dict[str, Any] = {"opponent": "random", "observation": "planes", "action_format": "index", "max_plies": 20}
TUNING: dict[str, Any] = {"observation": "box", "action_format": "box", "history": 2}
SMALL: dict[str, Any] = {"n_steps": 8, "batch_size": 8, "n_epochs": 1, "policy_kwargs": {"net_arch": [4]}, "seed": 0}


@pytest.mark.parametrize(
    ("name", "options"), [("SpecChess-v0", CHESS | {"illegal": "forfeit"}), ("SpecTuning-v0", TUNING)]
)
def test_its_checker_is_content_and_a_model_is_a_policy(name, options):
    checker.check_env(gym.make(name, **options), skip_render_check=True)
    model = sb3.PPO("MlpPolicy", gym.make(name, **options), **SMALL).learn(16)
    env: Any = gym.wrappers.TimeLimit(SpeculativeWrapper(gym.make(name, **options), model), 5)
    act = env.get_wrapper_attr("act")  # through wrappers outside of the one that speculates
    observation, _ = env.reset(seed=0)
    for _ in range(5):
        observation, _, terminated, truncated, _ = env.step(act(observation))
        if terminated or truncated:
            break
    env.close()


def test_maskable_ppo_asks_for_masks_also_behind_the_wrapper():
    contrib: Any = pytest.importorskip("sb3_contrib")
    guessers: dict[str, Any] = {"opponent": BuiltinChessGuesser()}
    for env in (
        gym.make("SpecChess-v0", **CHESS),
        SpeculativeWrapper(gym.make("SpecChess-v0", **CHESS), guessers=guessers, runtime="simulation"),
    ):
        model = contrib.MaskablePPO("MlpPolicy", env, **SMALL).learn(16)  # an illegal move would raise InvalidAction
        observation, _ = env.reset(seed=0)
        masks = env.get_wrapper_attr("action_masks")()
        action, _ = model.predict(observation, action_masks=masks)
        assert masks[int(action)] and np.count_nonzero(masks) == 20
        env.close()


def test_training_behind_the_wrapper_learns_the_same_in_less_time(tmp_path):
    def weights_and_seconds(ahead: int) -> tuple[str, float]:
        slow = ("--envs", "1", "--steps", "128", "--opponent-seconds", "0.05", "--virtual", "--ahead", str(ahead))
        told = succeed(sys.executable, ROOT / "examples/hubs/ppo_cleanrl.py", *slow, cwd=tmp_path)
        (weights,), (seconds,) = re.findall(r"weights (\w+)", told), re.findall(r"([\d.]+) s waited", told)
        return weights, float(seconds)

    (plain, most), (ahead, less) = weights_and_seconds(0), weights_and_seconds(4)
    assert plain == ahead and less < 0.8 * most


def test_the_example_of_stable_baselines3_runs(tmp_path):
    file = tmp_path / "curve.json"
    succeed(sys.executable, ROOT / "examples/hubs/train_ppo.py", "--steps", "512", "--json", file, cwd=tmp_path)
    assert {"curve", "cpu_seconds", "learned", "random"} <= set(json.loads(file.read_text(encoding="utf-8")))
