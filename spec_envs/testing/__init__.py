"""Tools with which users test their own environments, agents and wrappers.

``check_fork(env)`` says whether ``fork(env)`` keeps its contract, through the whole stack of wrappers. ``FakeEnv`` is
an environment in which everything that speculation has to cope with can be switched on: several calls in one step,
calls in ``reset``, randomness, every effect. ``pure_response`` answers its calls; ``same`` compares what came of them.
"""

from spec_envs.testing.fake_env import FakeEnv, pure_response
from spec_envs.testing.fork_check import check_fork
from spec_envs.values import same

__all__ = ["FakeEnv", "check_fork", "pure_response", "same"]
