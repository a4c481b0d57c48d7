"""Counts from past conversations about arguments: their forms, constants, and the names that users give to values.

Everything is counted by task, so that many trials of one task count as one. When a task is being learned, its own
counts are left out (``without``), so that constants are as rare in training as they are in use.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from typing import Any

from spec_envs.agents.pattern import text as texts
from spec_envs.conversation import Tool, ToolCall, canonical

#: The number of different values of an argument that are counted as possible constants, and of their forms.
_MAX_CONSTANTS = 400
#: A constant is a value that at least this number of tasks has used.
_MIN_TASKS = 2

#: The attributes of ``Memory`` that hold counts by place.
_PLACES = ("shapes", "constants", "aliases", "glosses")
_TYPES = {"string": "", "integer": "number", "number": "number", "boolean": "True", "array": "[", "object": "{"}


_NO_FORMS = texts.Forms()


class TaskCounts:
    """Counts the tasks in which something was seen."""

    def __init__(self) -> None:
        self.tasks: dict[str, dict[str, None]] = {}
        self._common: dict[str, None] | None = None

    def add(self, what: str, task: str) -> None:
        """Record that ``what`` was seen in ``task``."""
        tasks = self.tasks.setdefault(what, {})
        if len(tasks) < 50:  # a greater count would make no difference
            tasks[task] = None
            self._common = None

    def common(self, without: str | None = None) -> list[str]:
        """Return everything that was seen in at least two tasks other than ``without``."""
        if self._common is None:
            self._common = {what: None for what, tasks in self.tasks.items() if len(tasks) >= _MIN_TASKS}
        return [what for what in self._common if self.count(what, without) >= _MIN_TASKS]

    def count(self, what: str, without: str | None = None) -> int:
        """Return the number of tasks other than ``without`` in which ``what`` was seen."""
        tasks = self.tasks.get(what)
        return 0 if tasks is None else len(tasks) - (without in tasks)

    def __contains__(self, what: str) -> bool:
        return what in self.tasks


class Memory:
    """The known tools, and counts of the arguments of their calls.

    At most ``max_names`` names in texts are kept, with the values that they stand for: the most recently used names.
    """

    def __init__(self, max_names: int = 25_000) -> None:
        self.max_names = max_names
        self.tools: dict[str, dict[str, None]] = {}  # tool -> names of its arguments, in the order of their first use
        self.order: dict[str, list[str]] = {}  # tool, or form of a record -> names in the order of their last use
        self.calls = TaskCounts()
        self.given = TaskCounts()  # "tool.argument"
        self.shapes: dict[str, TaskCounts] = {}  # "tool.argument" and "argument"
        self.constants: dict[str, TaskCounts] = {}  # the same -> canonical values
        self.aliases: dict[str, TaskCounts] = {}  # name in a text, in lower case -> canonical values
        self.glosses: dict[str, TaskCounts] = {}  # name in a text -> the text in brackets after the name, canonical
        self.years = TaskCounts()  # years of dates that were arguments
        self.names = TaskCounts()  # names in texts
        self.schemas: dict[str, Tool] = {}
        self._forms: dict[str, texts.Forms] = {}  # of ``shapes``, until a new shape is seen

    def meet(self, tools: Iterable[Tool]) -> None:
        """Remember the schemas of ``tools``."""
        for tool in tools:
            known = self.schemas.get(tool.name)
            if known is not tool and known != tool:
                self.schemas[tool.name] = tool
                arguments = self.tools.setdefault(tool.name, {})
                for name in _properties(tool):
                    arguments.setdefault(name)

    def add(self, call: ToolCall, task: str, names: Iterable[str]) -> None:
        """Count the arguments of ``call``, which was made after the user had said ``names``."""
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
                shapes, shape = self.shapes.setdefault(place, TaskCounts()), texts.shape(value)
                if shape in shapes or len(shapes.tasks) < _MAX_CONSTANTS:
                    if shape not in shapes:
                        self._forms.pop(place, None)
                    shapes.add(shape, task)
            if isinstance(value, str) and len(value) > 60:
                continue
            key = canonical(value)
            for year in re.findall(r"\b((?:19|20)\d\d)-[01]\d-[0-3]\d\b", key)[:1]:
                self.years.add(year, task)
            for place in (f"{call.name}.{name}", name):
                constants = self.constants.setdefault(place, TaskCounts())
                if key in constants or len(constants.tasks) < _MAX_CONSTANTS:
                    constants.add(key, task)
            if isinstance(value, str):
                for each in names:
                    self._named(self.aliases, each).add(key, task)

    def add_glosses(self, glosses: Iterable[tuple[str, str]], task: str) -> None:
        """Count names in a text of ``task``, each with the text in brackets after the name."""
        for name, gloss in glosses:
            self._named(self.glosses, name).add(canonical(gloss), task)

    def year(self, without: str | None = None) -> str | None:
        """Return the most frequent year of dates, or ``None``."""
        counts = {year: self.years.count(year, without) for year in self.years.tasks}
        best = max(counts.items(), key=lambda item: (item[1], item[0]), default=("", 0))
        return best[0] if best[1] else None

    def add_names(self, names: Iterable[str], task: str) -> None:
        """Count the ``names`` that the user said in ``task``."""
        for name in names:
            self.names.add(name, task)
            if len(self.names.tasks) > self.max_names:
                del self.names.tasks[next(iter(self.names.tasks))]

    def _named(self, places: dict[str, TaskCounts], name: str) -> TaskCounts:
        """Return the counts of a name, and mark the name as the most recently used one."""
        counts = places.pop(name, None) or TaskCounts()
        places[name] = counts
        if len(places) > self.max_names:
            del places[next(iter(places))]
        return counts

    def optional(self, tool: str, argument: str, without: str | None = None) -> bool:
        """Return whether ``tool`` is known to work without ``argument``."""
        schema = self.schemas.get(tool)
        required = None if schema is None else schema.parameters.get("required")
        if isinstance(required, list | tuple):
            return argument not in required
        return self.given.count(f"{tool}.{argument}", without) < self.calls.count(tool, without)

    def admits(self, tool: str, argument: str) -> tuple[texts.Forms, str | None, tuple[Any, ...]]:
        """Return the forms that were seen, or if there are none the start of a form; and the choices in the schema."""
        schema = self.schemas.get(tool)
        declared = {} if schema is None else _properties(schema).get(argument, {})
        named = declared.get("enum") if isinstance(declared, Mapping) else ()
        choices = tuple(named) if isinstance(named, list | tuple) else ()
        for place in (f"{tool}.{argument}", argument):
            if place in self.shapes:
                if place not in self._forms:
                    self._forms[place] = texts.Forms(self.shapes[place].tasks)
                return self._forms[place], None, choices
        kind = declared.get("type") if isinstance(declared, Mapping) else None
        return _NO_FORMS, _TYPES.get(kind, "") if isinstance(kind, str) else "", choices

    def associations(self, name: str, without: str | None = None) -> dict[str, float]:
        """Return the values of arguments in other tasks that mention ``name``, each with its share of those tasks."""
        counts = self.aliases.get(name)
        if counts is None:
            return {}
        said = self.names.count(name, without)
        return {key: counts.count(key, without) / (said + 0.5) for key in counts.common(without)}

    def to_json(self) -> dict[str, Any]:
        """Return everything as JSON data."""
        return {
            "tools": {name: list(arguments) for name, arguments in self.tools.items()},
            "order": dict(self.order),
            "calls": _counts_to_json(self.calls),
            "given": _counts_to_json(self.given),
            "names": _counts_to_json(self.names),
            "years": _counts_to_json(self.years),
            **{
                part: {place: _counts_to_json(counts) for place, counts in getattr(self, part).items()}
                for part in _PLACES
            },
            "schemas": [
                {"name": tool.name, "description": tool.description, "parameters": tool.parameters}
                for tool in self.schemas.values()
            ],
        }

    @classmethod
    def from_json(cls, data: Mapping[str, Any], max_names: int = 25_000) -> Memory:
        """Return the memory that ``data`` was made from."""
        memory = cls(max_names)
        memory.tools = {name: dict.fromkeys(arguments) for name, arguments in data["tools"].items()}
        memory.order = dict(data["order"])
        for part in ("calls", "given", "names", "years"):
            setattr(memory, part, _counts_from_json(data[part]))
        for part in _PLACES:
            setattr(memory, part, {place: _counts_from_json(tasks) for place, tasks in data[part].items()})
        memory.schemas = {entry["name"]: Tool(**entry) for entry in data["schemas"]}
        return memory


def _counts_to_json(counts: TaskCounts) -> dict[str, list[str]]:
    return {what: list(tasks) for what, tasks in counts.tasks.items()}


def _counts_from_json(data: Mapping[str, list[str]]) -> TaskCounts:
    counts = TaskCounts()
    counts.tasks = {what: dict.fromkeys(tasks) for what, tasks in data.items()}
    return counts


def _properties(tool: Tool) -> Mapping[str, Any]:
    """Return the schemas of the arguments; some servers send something else in their place."""
    properties = tool.parameters.get("properties")
    return properties if isinstance(properties, Mapping) else {}
