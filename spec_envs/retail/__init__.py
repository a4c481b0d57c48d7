"""Retail customer service in the form of the retail domains of tau-bench and τ³-bench: ``SpecRetail-v0``.

The parts, from the bottom up: ``store`` (the shop's data), ``tools`` (of the agent), ``tasks``, ``embedded`` (the
shop that comes with the package, and its tasks), ``generated`` (shops from other seeds), ``loading``, ``queries`` (what
the environment asks its handlers), ``customers``, and ``env``. ``shop`` serves the same tools over HTTP.
"""

from spec_envs.retail.customers import scripted_customer
from spec_envs.retail.env import RetailEnv
from spec_envs.retail.loading import load_data, load_tasks
from spec_envs.retail.queries import CustomerQuery, JudgeQuery, ToolQuery, instant_tools
from spec_envs.retail.tasks import Task
from spec_envs.retail.tools.tool import ToolResponse
from spec_envs.retail.unscripted_customers import HumanCustomer, RecordedCustomer

__all__ = [
    "CustomerQuery",
    "HumanCustomer",
    "JudgeQuery",
    "RecordedCustomer",
    "RetailEnv",
    "Task",
    "ToolQuery",
    "ToolResponse",
    "instant_tools",
    "load_data",
    "load_tasks",
    "scripted_customer",
]
