"""Writes docs/api.md from the docstrings of the public names: ``python scripts/api_page.py``, or ``make docs``."""

from __future__ import annotations

import re
from collections.abc import Iterator
from pathlib import Path

from griffe import (
    Alias,
    Attribute,
    Class,
    DocstringSectionAttributes,
    DocstringSectionParameters,
    DocstringSectionRaises,
    DocstringSectionReturns,
    DocstringSectionText,
    DocstringSectionYields,
    Function,
    GriffeLoader,
    Module,
    Object,
    ParameterKind,
)

ROOT = Path(__file__).parents[1]
PAGE = ROOT / "docs" / "api.md"
#: The public modules, in the order of the page.
MODULES = (
    "spec_envs",
    "spec_envs.agents",
    "spec_envs.wrappers",
    "spec_envs.chess",
    "spec_envs.retail",
    "spec_envs.search",
    "spec_envs.tuning",
    "spec_envs.errors",
    "spec_envs.testing",
    "spec_envs.conversation",
    "spec_envs.agents.llm",
    "spec_envs.agents.tuning",
    "spec_envs.wrappers.handlers",
    "spec_envs.wrappers.cache",
    "spec_envs.wrappers.latency",
    "spec_envs.wrappers.recording",
    "spec_envs.wrappers.tools",
    "spec_envs.retail.shop",
    "spec_envs.integrations.openenv",
    "spec_envs.benchmarks.serving",
)
INTRODUCTION = """\
# What is public

<!-- Written by `make docs` from the docstrings; do not edit. -->

The names on this page are public: they stay, or change with a note in the [changelog](../CHANGELOG.md). **Every other
name is private until 1.0.0**, also where the name has no underscore, and may change or go without a note. Import a
public name from the module under which this page lists the name. Importing `spec_envs` registers the environments.

"""


def page() -> str:
    """The text of the page."""
    loader = GriffeLoader(search_paths=[ROOT], docstring_parser="google", allow_inspection=False)
    loader.load("spec_envs", submodules=True)
    loader.resolve_aliases(implicit=True)
    described: dict[str, str] = {}
    parts = [part for name in MODULES for part in describe_module(loader.modules_collection[name], described)]
    contents = [f"- [`{name}`](#{anchor(name)}): {summary(loader.modules_collection[name])}" for name in MODULES]
    return INTRODUCTION + "\n".join(contents) + "\n\n" + "\n\n".join(parts) + "\n"


def describe_module(module: Module, described: dict[str, str]) -> Iterator[str]:
    """The section of a module; what an earlier module has described, by path, is only named."""
    yield f"## {module.path}"
    yield text_of(module)
    again = []
    for name in public_names(module):
        member = target_of(module[name])
        if member.path in described:
            again.append(f"`{name}` (see [`{described[member.path]}`](#{anchor(described[member.path])}))")
        else:
            described[member.path] = module.path
            yield from describe(name, member)
    if again:
        yield f"Also here: {', '.join(again)}."


def public_names(module: Module) -> list[str]:
    """The names in ``__all__``; where there is none, the classes and functions that the module itself defines."""
    if module.exports is not None:
        return [str(name) for name in module.exports]
    return [name for name, member in module.members.items() if not member.is_alias and is_public(member)]


def is_public(member: Object | Alias) -> bool:
    """Whether a member is a class, a function or a documented attribute whose name has no underscore in front."""
    return not member.name.startswith("_") and (member.is_class or member.is_function or member.docstring is not None)


def target_of(member: Object | Alias) -> Object:
    """What a name that was imported stands for."""
    return member.final_target if isinstance(member, Alias) else member


def describe(name: str, member: Object) -> Iterator[str]:
    """The title, signature and docstring of a public name, and a line for each method of a class."""
    yield f"### {name}"
    if isinstance(member, Class):
        constructor = member.all_members.get("__init__")
        yield f"```py\nclass {name}{signature_of(target_of(constructor)) if constructor else ''}\n```"
    elif isinstance(member, Function):
        yield f"```py\n{'async ' if 'async' in member.labels else ''}def {name}{signature_of(member)}\n```"
    yield text_of(member)
    if isinstance(member, Class):
        lines = [line for each in member.members.values() if is_public(each) for line in method_lines(target_of(each))]
        if lines:
            yield "\n".join(lines)


def method_lines(member: Object) -> Iterator[str]:
    """The line of a method or property of a class, if it has a docstring."""
    if member.docstring is None:
        return
    if isinstance(member, Function):
        yield f"- `{member.name}{signature_of(member)}`: {summary(member)}"
    elif isinstance(member, Attribute):
        yield f"- `{member.name}`: {summary(member)}"


def signature_of(function: Object) -> str:
    """The parameters of a function without their types, which the docstring or the source tells."""
    if not isinstance(function, Function):
        return ""
    parts: list[str] = []
    before: ParameterKind | None = None
    for each in function.parameters:
        if each.name in ("self", "cls"):
            continue
        if before is ParameterKind.positional_only and each.kind is not before:
            parts.append("/")
        if each.kind is ParameterKind.keyword_only and before not in (each.kind, ParameterKind.var_positional):
            parts.append("*")
        stars = {ParameterKind.var_positional: "*", ParameterKind.var_keyword: "**"}.get(each.kind, "")
        value = re.sub(r"setting\((.+?), '.*", r"\1", str(each.default))  # of a field that is an option too
        default = "" if each.required or stars else f"={value}"
        parts.append(f"{stars}{each.name}{default}")
        before = each.kind
    return f"({', '.join(parts)})"


def text_of(member: Object) -> str:
    """A docstring as Markdown."""
    if member.docstring is None:
        return ""
    return "\n\n".join(part for section in member.docstring.parsed for part in section_lines(section))


def section_lines(section: object) -> Iterator[str]:
    """The Markdown of one section of a docstring."""
    match section:
        case DocstringSectionText(value=text):
            yield markdown(text)
        case DocstringSectionParameters(value=items) | DocstringSectionAttributes(value=items):
            title = "Args" if isinstance(section, DocstringSectionParameters) else "Attributes"
            yield f"{title}:\n\n" + "\n".join(f"- `{item.name}`: {flat(item.description)}" for item in items)
        case DocstringSectionReturns(value=items) | DocstringSectionYields(value=items):
            verb = "Returns" if isinstance(section, DocstringSectionReturns) else "Yields"
            yield f"{verb}: " + " ".join(flat(item.description) for item in items)
        case DocstringSectionRaises(value=items):
            yield "Raises:\n\n" + "\n".join(f"- `{item.annotation}`: {flat(item.description)}" for item in items)
        case _:
            pass


def summary(member: Object) -> str:
    """The first sentence of a docstring, or its first paragraph if that is one sentence."""
    if member.docstring is None:
        return ""
    return flat(member.docstring.value.split("\n\n")[0])


def flat(text: str) -> str:
    """A text on one line."""
    return " ".join(markdown(text).split())


def markdown(text: str) -> str:
    """A docstring's text with the backticks of Markdown."""
    return text.replace("``", "`").replace("::\n", ":\n")


def anchor(title: str) -> str:
    """GitHub's anchor of a title."""
    return title.lower().replace(".", "")


if __name__ == "__main__":
    PAGE.write_text(page(), encoding="utf-8")
