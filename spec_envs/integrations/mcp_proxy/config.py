"""The configuration of the proxy: its servers, the declared effects of their tools, and limits of calls ahead."""

from __future__ import annotations

import dataclasses
import difflib
import re
import shlex
import tomllib
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from spec_envs.calls import Effect
from spec_envs.errors import InvalidConfiguration
from spec_envs.wrappers.quota import HandlerLimit
from spec_envs.wrappers.tools import ToolLimits, ToolRule

#: Programs that run another program, whose name is that of the server.
_RUNNERS = re.compile(
    r"(npx|npm|pnpm|pnpx|yarn|bunx?|node|deno|tsx|python[\d.]*|uvx?|pipx|docker|podman|env|nice|cmd)(\.exe|\.cmd)?"
)
#: Commands of these programs, and a variable that they set.
_NO_NAME = re.compile(r"run|tool|x|exec|dlx|/c|\w+=.*")
#: Guesses wait until the client has made no call for this long, unless the file says otherwise.
_QUIET_S = 0.01


@dataclasses.dataclass(frozen=True, kw_only=True)
class ServerConfig:
    """A server: a command to run, or an address to connect to.

    Args:
        name: The name of the server in rules and reports.
        command: The program and its arguments.
        env: Variables of the environment that are added for the command.
        cwd: The folder in which the command runs.
        url: The address of a server by streamable HTTP, in place of a command.
        headers: With ``url``: headers of all requests.

    Raises:
        InvalidConfiguration: A value is of another type, there is not exactly one of ``command`` and ``url``, or
            something is given that only the other one has; the message names the setting.
    """

    name: str
    command: Sequence[str] = ()
    env: Mapping[str, str] = dataclasses.field(default_factory=dict)
    cwd: str | None = None
    url: str | None = None
    headers: Mapping[str, str] = dataclasses.field(default_factory=dict)

    def __post_init__(self) -> None:
        if not isinstance(self.name, str) or ":" in self.name or not self.name:
            raise InvalidConfiguration(
                f"the name of a server must not be empty or hold a colon, and this is {self.name!r:.80}"
            )
        if isinstance(self.command, str) or not _are_texts(self.command):
            raise InvalidConfiguration(
                f"command must be a program and its arguments, as texts, not {self.command!r:.80}"
            )
        if bool(self.command) == (self.url is not None):
            raise InvalidConfiguration(
                f"it needs either a command or a url, and has {'both' * bool(self.command) or 'neither'}"
            )
        if self.url is not None and not (isinstance(self.url, str) and re.match(r"https?://[^/\s]", self.url)):
            raise InvalidConfiguration(f"url must begin with http:// or https:// and a host, not {self.url!r:.80}")
        if self.cwd is not None and not isinstance(self.cwd, str):
            raise InvalidConfiguration(f"cwd must be the path of a folder, as a text, not {self.cwd!r:.80}")
        for name in ("env", "headers"):
            _check_texts(name, getattr(self, name))
        foreign = ("headers",) if self.command else ("env", "cwd")
        for name in foreign:
            if getattr(self, name):
                kind = "a url" if self.command else "a command"
                raise InvalidConfiguration(f"{name} is only for a server that has {kind}")

    @property
    def identity(self) -> str:
        """The key under which what was learned of this server is kept."""
        return self.url or shlex.join(self.command)


@dataclasses.dataclass(frozen=True, kw_only=True)
class ProxyConfig:
    """All that the proxy is told.

    Args:
        servers: The servers behind the proxy, at least one.
        rules: Rules of tools, by ``"server:name"`` or by name; undeclared tools are never called ahead.
        limits: The limits of calls ahead of time.
        trust_annotations: Whether tools that their server hints to be read-only may be called ahead, as ``SAMPLE``.
        learns: Whether what is learned is kept in ``state``, and read from there.
        state: The folder for what is learned and for figures; ``None``: that of the user.
        record: A file for all messages, from which ``spec-envs mcp-proxy learn`` proposes rules.
        trace: A file for the trace, of which ``spec-envs trace`` makes a page.
    """

    servers: Sequence[ServerConfig]
    rules: Mapping[str, ToolRule] = dataclasses.field(default_factory=dict)
    limits: ToolLimits = ToolLimits(quiet_s=_QUIET_S)
    trust_annotations: bool = False
    learns: bool = True
    state: Path | None = None
    record: Path | None = None
    trace: Path | None = None

    def __post_init__(self) -> None:
        names = [server.name for server in self.servers]
        if not names:
            raise InvalidConfiguration("the proxy needs a server: give its command after --, or --config FILE")
        if len(set(names)) < len(names):
            raise InvalidConfiguration(f"two servers have one name: {', '.join(names)}")
        unclear = [name for name in names if "__" in name or name.endswith("_")]
        if unclear and len(names) > 1:
            raise InvalidConfiguration(
                f"with several servers, tools are called SERVER__NAME, so the name {unclear[0]!r} of a server must not "
                "hold two underscores in a row, or end with one"
            )


def server_name(command: Sequence[str]) -> str:
    """A name for the server that ``command`` runs: that of its package, module or program."""
    for word in command:
        plain = re.split("[@:]", Path(word).name)[0] or Path(word).name
        if word.startswith("-") or _RUNNERS.fullmatch(plain) or _NO_NAME.fullmatch(word):
            continue
        return re.sub(r"\.(py|[cm]?js|exe)$", "", plain)
    return Path(command[0]).name


def read_config(path: Path) -> dict[str, Any]:
    """The arguments of ``ProxyConfig`` in a TOML file.

    Raises:
        InvalidConfiguration: The file is not TOML, or says what the proxy does not know; the message names the place.
    """
    try:
        data = tomllib.loads(path.read_text(encoding="utf-8"))
    except (tomllib.TOMLDecodeError, UnicodeDecodeError) as error:
        raise InvalidConfiguration(f"{path} is not TOML: {error}") from None
    try:
        _check_known(data, {"servers", "tools", "limits", "trust_annotations"}, "the file")
        found: dict[str, Any] = {
            "servers": [_server(name, each) for name, each in _tables(data, "servers").items()],
            "rules": {name: _rule(name, each) for name, each in _tables(data, "tools").items()},
            "limits": _limits(data.get("limits", {})),
        }
    except InvalidConfiguration as error:
        raise InvalidConfiguration(f"{path}: {error}") from None
    if "trust_annotations" in data:
        found["trust_annotations"] = trusts = data["trust_annotations"]
        if not isinstance(trusts, bool):
            raise InvalidConfiguration(f"{path}: trust_annotations must be true or false, not {trusts!r}")
    return found


def _tables(data: Mapping[str, Any], name: str) -> Mapping[str, Mapping[str, Any]]:
    tables = data.get(name, {})
    if not isinstance(tables, dict) or not all(isinstance(each, dict) for each in tables.values()):
        raise InvalidConfiguration(f"[{name}.NAME] must be tables, not {tables!r:.80}")
    return tables


def _limits(given: Any) -> ToolLimits:
    _check_known(given, _names_of(ToolLimits), "limits")
    made: ToolLimits = _made(ToolLimits, {"quiet_s": _QUIET_S, **given}, "limits")
    return made


def _server(name: str, given: Mapping[str, Any]) -> ServerConfig:
    where = f"servers.{name}"
    _check_known(given, {*_names_of(ServerConfig), "args"} - {"name"}, where)
    given = dict(given)
    command, more = given.pop("command", ()), given.pop("args", [])
    if not isinstance(command, str | list | tuple):
        raise InvalidConfiguration(f"{where}: command must be a program and its arguments, not {command!r:.80}")
    if not isinstance(more, list):
        raise InvalidConfiguration(f"{where}: args must be a list of texts, not {more!r:.80}")
    if isinstance(command, str) and not more:
        try:
            command = shlex.split(command)
        except ValueError as error:
            raise InvalidConfiguration(f"{where}: command cannot be split into words: {error} in {command!r}") from None
    words = [command] if isinstance(command, str) else command
    made: ServerConfig = _made(ServerConfig, {"name": name, "command": (*words, *more), **given}, where)
    return made


#: What a file says of the quota of a tool, where ``ToolRule`` has ``metered``.
_QUOTA = ("max_inflight", "max_calls", "per_s")


def _rule(name: str, given: Mapping[str, Any]) -> ToolRule:
    where = f"tools.{name}"
    _check_known(given, {*_names_of(ToolRule), *_QUOTA} - {"metered"}, where)
    given = dict(given)
    effects = {effect.value: effect for effect in Effect}
    effect = given.pop("effect", Effect.WRITE.value)
    if not isinstance(effect, str) or effect not in effects:
        raise InvalidConfiguration(f"{where}: effect must be one of {', '.join(effects)}, not {effect!r:.80}")
    quota = {key: given.pop(key) for key in _QUOTA if key in given}
    metered = _made(HandlerLimit, quota, where) if quota else None
    touches = given.get("touches")
    if isinstance(touches, list) and _are_texts(touches):
        given["touches"] = frozenset(touches)
    made: ToolRule = _made(ToolRule, {"effect": effects[effect], "metered": metered, **given}, where)
    return made


def _made(kind: Any, given: Mapping[str, Any], where: str) -> Any:
    try:
        return kind(**given)
    except InvalidConfiguration as error:
        raise InvalidConfiguration(f"{where}: {error}") from None


#: What other programs call the settings of a server.
_ALSO = {"cmd": "command", "exec": "command", "arguments": "args", "environment": "env", "dir": "cwd", "uri": "url"}


def _names_of(kind: Any) -> set[str]:
    return {field.name for field in dataclasses.fields(kind)}


def _check_known(given: Any, known: set[str], where: str) -> None:
    """Refuse what is no table, or has a key that is not ``known``."""
    if not isinstance(given, Mapping):
        raise InvalidConfiguration(f"[{where}] must be a table, not {given!r:.80}")
    for key in given:
        if key not in known:
            meant = [_ALSO[key]] if _ALSO.get(key) in known else difflib.get_close_matches(key, known, 1)
            hint = f" (did you mean {meant[0]}?)" if meant else ""
            raise InvalidConfiguration(f"{where}: {key} is unknown; known are {', '.join(sorted(known))}{hint}")


def _are_texts(values: Any) -> bool:
    return isinstance(values, Sequence) and all(isinstance(each, str) for each in values)


def _check_texts(name: str, table: Any) -> None:
    """Refuse what is no table of texts."""
    if not isinstance(table, Mapping):
        raise InvalidConfiguration(f"{name} must be a table of texts, not {table!r:.80}")
    for key, value in table.items():
        if not isinstance(key, str) or not isinstance(value, str):
            raise InvalidConfiguration(f'{name}.{key} must be a text, such as "{value}", not {value!r:.80}')
