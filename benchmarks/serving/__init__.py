"""A model server that speaks OpenAI's protocol and is backed by anything callable: see ``ModelServer``."""

from spec_envs.benchmarks.serving.behaviour import Fault, Pace
from spec_envs.benchmarks.serving.counting import ServerStatistics
from spec_envs.benchmarks.serving.server import ModelServer

__all__ = ["Fault", "ModelServer", "Pace", "ServerStatistics"]
