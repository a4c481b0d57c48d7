"""Environments as OpenEnv servers, and OpenEnv servers as environments. Needs the extra ``openenv``.

``openenv_app`` serves any Gymnasium environment, with or without a speculative wrapper, which runs ahead in the server
while a remote client thinks. ``RemoteEnv`` is the client: a Gymnasium environment whose steps run in a server.
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
