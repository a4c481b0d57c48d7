"""Environments as servers of OpenEnv, and servers of OpenEnv as environments. Needs the extra ``openenv``.

``openenv_app`` serves any Gymnasium environment, plain or behind a speculating wrapper: the wrapper runs ahead in the
server while a remote client thinks. ``RemoteEnv`` is the other end: a Gymnasium environment whose steps a server makes.
"""

from spec_envs.integrations.openenv.client import RemoteEnv
from spec_envs.integrations.openenv.environment import AsyncGymEnvironment, GymAction, GymEnvironment, GymObservation
from spec_envs.integrations.openenv.server import openenv_app

__all__ = [
    "AsyncGymEnvironment",
    "GymAction",
    "GymEnvironment",
    "GymObservation",
    "RemoteEnv",
    "openenv_app",
]
