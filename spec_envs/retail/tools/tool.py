"""A tool as data, and the decorator that makes one from a Python function."""

import dataclasses
from collections.abc import Callable, Mapping
from typing import Any, NamedTuple, TypeVar

from pydantic import ValidationError

from spec_envs.calls import Effect
from spec_envs.retail.store.snapshot import Patch, StoreSnapshot
from spec_envs.retail.tools.arguments import Arguments, explain, schema_of

ArgumentsType = TypeVar("ArgumentsType", bound=Arguments)

_CONFIRM = "Say first what will change, and have the user confirm it with an explicit yes. "


class ToolError(Exception):
    """Raised by a tool that refuses a call; the message is what the agent is told."""


class ToolResponse(NamedTuple):
    """The answer of a tool, and the changes that it makes to the data; no changes if it refuses or only reads."""

    output: str
    patch: Patch = ()


@dataclasses.dataclass(frozen=True)
class Tool:
    """A tool of the agent."""

    name: str
    description: str  # what the agent is told about the tool
    arguments: type[Arguments]  # the model that checks the arguments
    effect: Effect  # ``WRITE`` if the tool changes the shop or has a person take over, else ``READ``
    function: Callable[..., ToolResponse]  # of the data and the checked arguments; may raise ``ToolError``

    def schema(self) -> dict[str, Any]:
        """Return the description of the tool that OpenAI's chat models expect."""
        function = {"name": self.name, "description": self.description, "parameters": schema_of(self.arguments)}
        return {"type": "function", "function": function}

    def run(self, store: StoreSnapshot, arguments: Mapping[str, Any]) -> ToolResponse:
        """Return the result for arguments that were not checked yet; the result of a wrong call is an error text."""
        try:
            return self.function(store, self.arguments.model_validate(arguments))
        except ValidationError as error:
            return ToolResponse(f"Error: {explain(self.name, error)}")
        except (ToolError, LookupError, TypeError, AttributeError) as error:
            # Of these, all but ToolError mean that the data have an odd form: tau-bench shows such errors, too.
            return ToolResponse(f"Error: {error}")


def tool(
    arguments: type[ArgumentsType], effect: Effect, *, confirmed: bool = False
) -> Callable[[Callable[[StoreSnapshot, ArgumentsType], ToolResponse]], Tool]:
    """Make a ``Tool`` from a function of the data and the arguments.

    The function's name is the tool's name, and its docstring is the description for the agent. With ``confirmed``, the
    description also tells the agent to have the user confirm the change first.
    """

    def made(function: Callable[[StoreSnapshot, ArgumentsType], ToolResponse]) -> Tool:
        description = (_CONFIRM if confirmed else "") + " ".join((function.__doc__ or "").split())
        return Tool(function.__name__, description, arguments, effect, function)

    return made
