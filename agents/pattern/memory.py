"""What arguments looked like in the past: their shapes, the constants among them, and the names that people use.

Everything is counted by task, so that many trials of one task count as one; and a task that is being learned does not
count for itself (``without``), so that in training a constant is as rare as it will be in use.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from typing import Any

from spec_envs.agents.pattern import text as texts
from spec_envs.conversation import Tool, ToolCall, canonical

#: Constants and names of an argument that are kept; an argument with more different values has none.
_MAX_CONSTANTS = 400
#: A constant is a value that so many tasks have used; one conversation proves nothing.
_MIN_TASKS = 2

_PLACES = ("shapes", "constants", "aliases", "glosses")
_TYPES = {"string": "", "integer": "number", "number": "number", "boolean": "True", "array": "[", "object": "{"}


class Tally:
    """How many tasks had what; ``count`` leaves one task out."""

    def __init__(self) -> None:
        self.tasks: dict[str, dict[str, None]] = {}
        self._common: dict[str, None] | None = None

    def add(self, what: str, task: str) -> None:
        """``what`` was seen in ``task``."""
        tasks = self.tasks.setdefault(what, {})
        if len(tasks) < 50:  # beyond that the number makes no difference
            tasks[task] = None
            self._common = None

    def common(self, without: str | None = None) -> list[str]:
        """What was seen in at least two tasks, other than ``without``."""
        if self._common is None:
            self._common = {what: None for what, tasks in self.tasks.items() if len(tasks) >= _MIN_TASKS}
        return [what for what in self._common if self.count(what, without) >= _MIN_TASKS]

    def count(self, what: str, without: str | None = None) -> int:
        """In how many tasks ``what`` was seen, other than ``without``."""
        tasks = self.tasks.get(what)
        return 0 if tasks is None else len(tasks) - (without in tasks)

    def __contains__(self, what: str) -> bool:
        return what in self.tasks


class Memory:
    """The tools, their arguments, and what those were."""

    def __init__(self) -> None:
        self.tools: dict[str, dict[str, None]] = {}  # name -> names of arguments, in the order of first use
        self.order: dict[str, list[str]] = {}  # tool, or shape of a record -> names in the order of the last use
        self.calls = Tally()
        self.given = Tally()  # "tool.argument"
        self.shapes: dict[str, Tally] = {}  # "tool.argument" and "argument"
        self.constants: dict[str, Tally] = {}  # the same -> canonical value
        self.aliases: dict[str, Tally] = {}  # name in a text, in lower case -> canonical value
        self.glosses: dict[str, Tally] = {}  # name in a text -> what stood in brackets behind it, canonical
        self.years = Tally()  # of dates that were arguments
        self.names = Tally()  # name in a text
        self.schemas: dict[str, Tool] = {}

    def meet(self, tools: Iterable[Tool]) -> None:
        """Take note of the schemas of ``tools``."""
        for tool in tools:
            if self.schemas.get(tool.name) != tool:
                self.schemas[tool.name] = tool
                arguments = self.tools.setdefault(tool.name, {})
                for name in tool.parameters.get("properties", {}):
                    arguments.setdefault(name)

    def add(self, call: ToolCall, task: str, names: Iterable[str]) -> None:
        """Learn the arguments of ``call``, made when the user had said ``names``."""
        arguments = self.tools.setdefault(call.name, {})
        self.order[call.name] = list(call.arguments)
        self.calls.add(call.name, task)
        names = tuple(names)
        for name, value in call.arguments.items():
            arguments.setdefault(name)
            record = value[0] if isinstance(value, list) and value else value
            if isinstance(record, Mapping):
                self.order[texts.shape(record)] = list(record)
            self.given.add(f"{call.name}.{name}", task)
            for place in (f"{call.name}.{name}", name):
                self.shapes.setdefault(place, Tally()).add(texts.shape(value), task)
            if isinstance(value, str) and len(value) > 60:
                continue
            key = canonical(value)
            for year in re.findall(r"\b((?:19|20)\d\d)-[01]\d-[0-3]\d\b", key)[:1]:
                self.years.add(year, task)
            for place in (f"{call.name}.{name}", name):
                constants = self.constants.setdefault(place, Tally())
                if key in constants or len(constants.tasks) < _MAX_CONSTANTS:
                    constants.add(key, task)
            if isinstance(value, str):
                for each in names:
                    self.aliases.setdefault(each, Tally()).add(key, task)

    def add_glosses(self, glosses: Iterable[tuple[str, str]], task: str) -> None:
        """A text in ``task`` gave these names, each with something in brackets behind it."""
        for name, gloss in glosses:
            self.glosses.setdefault(name, Tally()).add(canonical(gloss), task)

    def year(self, without: str | None = None) -> str | None:
        """The year that dates are usually in."""
        counts = {year: self.years.count(year, without) for year in self.years.tasks}
        best = max(counts.items(), key=lambda item: (item[1], item[0]), default=("", 0))
        return best[0] if best[1] else None

    def add_names(self, names: Iterable[str], task: str) -> None:
        """The user said ``names`` in ``task``."""
        for name in names:
            self.names.add(name, task)

    def optional(self, tool: str, argument: str, without: str | None = None) -> bool:
        """Whether ``tool`` is known to work without ``argument``."""
        schema = self.schemas.get(tool)
        if schema is not None and "required" in schema.parameters:
            return argument not in schema.parameters["required"]
        return self.given.count(f"{tool}.{argument}", without) < self.calls.count(tool, without)

    def admits(self, tool: str, argument: str) -> tuple[texts.Forms, str | None, tuple[Any, ...]]:
        """What may be a value: forms that were seen, or (if none) how a form starts; and the schema's choices."""
        schema = self.schemas.get(tool)
        properties: Mapping[str, Any] = {} if schema is None else schema.parameters.get("properties", {})
        declared = properties.get(argument, {})
        choices = tuple(declared.get("enum", ())) if isinstance(declared, Mapping) else ()
        for place in (f"{tool}.{argument}", argument):
            if place in self.shapes:
                return texts.Forms(self.shapes[place].tasks), None, choices
        kind = declared.get("type") if isinstance(declared, Mapping) else None
        return texts.Forms(), _TYPES.get(kind, "") if isinstance(kind, str) else "", choices

    def associations(self, name: str, without: str | None = None) -> dict[str, float]:
        """What arguments were, in other tasks, where the user said ``name``: canonical value, share of those tasks."""
        tally = self.aliases.get(name)
        if tally is None:
            return {}
        said = self.names.count(name, without)
        return {key: tally.count(key, without) / (said + 0.5) for key in tally.common(without)}

    def to_json(self) -> dict[str, Any]:
        """Everything, as JSON data."""
        return {
            "tools": {name: list(arguments) for name, arguments in self.tools.items()},
            "order": dict(self.order),
            "calls": _tally_to_json(self.calls),
            "given": _tally_to_json(self.given),
            "names": _tally_to_json(self.names),
            "years": _tally_to_json(self.years),
            **{
                part: {place: _tally_to_json(tally) for place, tally in getattr(self, part).items()} for part in _PLACES
            },
            "schemas": [
                {"name": tool.name, "description": tool.description, "parameters": tool.parameters}
                for tool in self.schemas.values()
            ],
        }

    @classmethod
    def from_json(cls, data: Mapping[str, Any]) -> Memory:
        """What ``to_json`` gave."""
        memory = cls()
        memory.tools = {name: dict.fromkeys(arguments) for name, arguments in data["tools"].items()}
        memory.order = dict(data["order"])
        for part in ("calls", "given", "names", "years"):
            setattr(memory, part, _tally(data[part]))
        for part in _PLACES:
            setattr(memory, part, {place: _tally(tasks) for place, tasks in data[part].items()})
        memory.schemas = {entry["name"]: Tool(**entry) for entry in data["schemas"]}
        return memory


def _tally_to_json(tally: Tally) -> dict[str, list[str]]:
    return {what: list(tasks) for what, tasks in tally.tasks.items()}


def _tally(data: Mapping[str, list[str]]) -> Tally:
    tally = Tally()
    tally.tasks = {what: dict.fromkeys(tasks) for what, tasks in data.items()}
    return tally
