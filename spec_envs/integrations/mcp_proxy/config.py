"""The configuration of the proxy: its servers, the declared effects of their tools, and limits of calls ahead."""

from __future__ import annotations

import dataclasses
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
    """

    name: str
    command: Sequence[str] = ()
    env: Mapping[str, str] = dataclasses.field(default_factory=dict)
    cwd: str | None = None
    url: str | None = None
    headers: Mapping[str, str] = dataclasses.field(default_factory=dict)

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
    if unknown := set(data) - {"servers", "tools", "limits", "trust_annotations"}:
        raise InvalidConfiguration(
            f"{path}: {', '.join(sorted(unknown))} is unknown; known are [servers.NAME], [tools.NAME], [limits] and "
            "trust_annotations"
        )
    try:
        found: dict[str, Any] = {
            "servers": [_server(name, each) for name, each in _tables(data, "servers").items()],
            "rules": {name: _rule(name, each) for name, each in _tables(data, "tools").items()},
            "limits": _made(ToolLimits, data.get("limits", {}), "limits", quiet_s=_QUIET_S),
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


def _server(name: str, given: Mapping[str, Any]) -> ServerConfig:
    if ":" in name or not name:
        raise InvalidConfiguration(f"servers: a name must not be empty or hold a colon, and this is {name!r}")
    given = dict(given)
    command = given.pop("command", ())
    words = shlex.split(command) if isinstance(command, str) and "args" not in given else command
    words = [words, *given.pop("args", ())] if isinstance(words, str) else list(words)
    if bool(words) == ("url" in given) or not all(isinstance(word, str) for word in words):
        raise InvalidConfiguration(f"servers.{name} needs either a command or a url")
    made: ServerConfig = _made(ServerConfig, {"name": name, "command": tuple(words), **given}, f"servers.{name}")
    return made


def _rule(name: str, given: Mapping[str, Any]) -> ToolRule:
    given = dict(given)
    effects = {effect.value: effect for effect in Effect}
    effect = given.pop("effect", Effect.WRITE.value)
    if effect not in effects:
        raise InvalidConfiguration(f"tools.{name}: effect must be one of {', '.join(effects)}, not {effect!r}")
    quota = {key: given.pop(key) for key in ("max_inflight", "max_calls", "per_s") if key in given}
    metered = _made(HandlerLimit, quota, f"tools.{name}") if quota else None
    if isinstance(given.get("touches"), list):
        given["touches"] = frozenset(given["touches"])
    made: ToolRule = _made(ToolRule, {"effect": effects[effect], "metered": metered, **given}, f"tools.{name}")
    return made


def _made(kind: Any, given: Any, where: str, **defaults: Any) -> Any:
    known = {field.name for field in dataclasses.fields(kind)}
    if not isinstance(given, Mapping) or (unknown := set(given) - known):
        strange = ", ".join(sorted(unknown)) if isinstance(given, Mapping) else repr(given)
        raise InvalidConfiguration(f"{where}: {strange} is unknown; known are {', '.join(sorted(known))}")
    try:
        return kind(**{**defaults, **given})
    except InvalidConfiguration as error:
        raise InvalidConfiguration(f"{where}: {error}") from None
