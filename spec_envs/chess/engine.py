"""A pool of chess engines (Stockfish, or another UCI engine) that gives equal answers to equal queries.

An engine serves one query at a time. Each query starts from an empty hash table and is limited by depth or nodes, never
by the clock, so its answer depends neither on earlier queries nor on how busy the machine is. An engine starts with its
first query. An engine that died is replaced, and its query is repeated.
"""

from __future__ import annotations

import os
import shutil
import threading
import weakref

import chess
from gymnasium.error import DependencyNotInstalled

from spec_envs.checks import integer, integer_or_none, positive
from spec_envs.chess.position import Position
from spec_envs.chess.uci import Engine, EngineDied, Line, Query, command_of
from spec_envs.closing import Closing
from spec_envs.errors import HandlerFailed, InvalidConfiguration
from spec_envs.handling import CancelToken
from spec_envs.pickling import MadeAnew
from spec_envs.slots import Slots

#: Environment variable with the path of the engine to use instead of an installed Stockfish.
STOCKFISH_VARIABLE = "SPEC_ENVS_STOCKFISH"

# Debian installs games outside the PATH of root and of many services.
_PLACES = ("/usr/games/stockfish", "/usr/local/bin/stockfish", "/opt/homebrew/bin/stockfish")
_REPEATS = 2


def find_stockfish() -> str:
    """The path of Stockfish: from ``SPEC_ENVS_STOCKFISH``, the ``PATH``, or where systems usually put it.

    Raises:
        DependencyNotInstalled: Stockfish was not found; the message says how to install it.
    """
    chosen = os.environ.get(STOCKFISH_VARIABLE)
    if chosen:
        if shutil.which(command_of(chosen)[0]) is None:
            raise DependencyNotInstalled(f"{STOCKFISH_VARIABLE}={chosen} is not a program that can be run")
        return chosen
    for place in ("stockfish", *_PLACES):
        path = shutil.which(place)
        if path is not None:
            return path
    raise DependencyNotInstalled(
        f"Stockfish is not installed: run `apt-get install stockfish` (or `brew install stockfish`), or set "
        f"{STOCKFISH_VARIABLE} to its path; the built-in engine needs neither"
    )


def stockfish_is_installed() -> bool:
    """Whether ``find_stockfish`` finds it."""
    try:
        find_stockfish()
    except DependencyNotInstalled:
        return False
    return True


class EnginePool(MadeAnew, Closing):
    """UCI engines behind one blocking method, ``analyse``, that any number of threads may call.

    The constructor starts nothing. The engines stop with ``close``, with the end of a ``with`` block or of the program,
    and when the pool is garbage-collected. Options are set where an engine offers them, within the engine's own bounds.

    Args:
        path: The engine's program, which may be followed by arguments, as in "gnuchess --uci". Default:
            ``find_stockfish()`` at first use.
        max_engines: Engines that run at once, about 140 MB each; further queries wait. Default: one per processor, up
            to 4.
        hash_mb: Size of each engine's hash table; moved to the engine's least or greatest size if it lies outside.
        timeout_s: The longest time for a query, or for the start of an engine; then the engine is killed.
    """

    def __init__(
        self,
        path: str | os.PathLike[str] | None = None,
        *,
        max_engines: int | None = None,
        hash_mb: int = 1,
        timeout_s: float = 60.0,
    ) -> None:
        if path is not None and (not isinstance(path, str | os.PathLike) or "\0" in os.fsdecode(path)):
            raise InvalidConfiguration(f"path must be a command such as 'gnuchess --uci', not {path!r:.200}")
        self._path = None if path is None else os.fsdecode(path)
        self._max_engines = integer_or_none("max_engines", max_engines, least=1) or min(4, os.cpu_count() or 1)
        self._hash_mb = integer("hash_mb", hash_mb, least=1)
        self._timeout_s = positive("timeout_s", timeout_s)
        self._lock = threading.Lock()
        self._engines = self._no_engines()

    def analyse(
        self,
        position: Position | chess.Board,
        *,
        depth: int | None = None,
        nodes: int | None = None,
        multipv: int = 1,
        cancel: CancelToken | None = None,
    ) -> list[Line]:
        """The best moves, best first: ``multipv`` of them, or fewer if there are fewer, or the engine can rank fewer.

        Args:
            position: What to analyse; a board is copied.
            depth: Plies to search. Give ``depth`` or ``nodes``, or both: the search ends at the limit reached first.
            nodes: Nodes to search.
            multipv: How many moves to rank.
            cancel: Stops the search when it is cancelled.

        Raises:
            CallCancelled: ``cancel`` was cancelled.
            HandlerFailed: The engine does not start, hung, died again when the query was repeated, or answered with an
                illegal move or none.
            InvalidConfiguration: There is no limit, or a limit is below 1; the position is impossible (and would crash
                the engine), or belongs to a variant of chess; or ``multipv`` is above 1 and the engine cannot rank
                moves.
            DependencyNotInstalled: There is no engine.
            EnvClosed: The pool was closed.
        """
        if depth is None and nodes is None:
            raise InvalidConfiguration("give depth or nodes: a search without limit has no end")
        limits = {"depth": integer_or_none("depth", depth, least=1), "nodes": integer_or_none("nodes", nodes, least=1)}
        go = " ".join(["go", *(f"{name} {value}" for name, value in limits.items() if value is not None)])
        multipv = integer("multipv", multipv, least=1)
        board = position.board() if isinstance(position, Position) else position.copy()
        if board.uci_variant != "chess":
            raise InvalidConfiguration(f"engines analyse usual chess only, not the variant {board.uci_variant!r}")
        if not board.is_valid():
            raise InvalidConfiguration(f"no game can come to the position {board.fen()}: {board.status()!r}")
        if not any(board.legal_moves):
            return []
        return self._here().answer(Query(board, go, multipv, cancel or CancelToken()))

    def pids(self) -> list[int]:
        """The process ids of the engines that are running."""
        return self._here().pids()

    def close(self) -> None:
        """Stop all engines; calls that wait for one raise ``EnvClosed``. Idempotent."""
        self._here().close()

    def _here(self) -> _Engines:
        """The engines that this process has started; a forked child does not use those of its parent."""
        with self._lock:
            if self._engines.process != os.getpid():
                self._engines = self._no_engines()
            return self._engines

    def _no_engines(self) -> _Engines:
        engines = _Engines(self._path, self._max_engines, self._hash_mb, self._timeout_s)
        weakref.finalize(self, engines.close)
        return engines


class _Engines:
    """The engines of a pool in one process. Each slot has an engine from its first query on."""

    def __init__(self, path: str | None, max_engines: int, hash_mb: int, timeout_s: float) -> None:
        self.process = os.getpid()
        self._path = path
        self._hash_mb = hash_mb
        self._timeout_s = timeout_s
        self._slots = Slots(range(max_engines), owner="the engine pool")
        self._by_slot: dict[int, Engine] = {}
        self._lock = threading.Lock()

    def answer(self, query: Query) -> list[Line]:
        """The answer of an engine to ``query``, as ``EnginePool.analyse`` returns it."""
        failure: EngineDied | None = None
        with self._slots.lend(query.cancel) as slot:
            for _ in range(1 + _REPEATS):
                engine = self._engine(slot, query.cancel)
                try:
                    return engine.search(query, self._timeout_s)
                except EngineDied as error:
                    failure = error
                    self._check_wanted(query.cancel)
        raise HandlerFailed(f"{self._path} failed {1 + _REPEATS} times on {query.board.fen()}: {failure}") from failure

    def pids(self) -> list[int]:
        return [engine.pid for engine in tuple(self._by_slot.values()) if engine.alive]

    def close(self) -> None:
        if self.process != os.getpid():
            return  # a forked child: the engines are its parent's
        self._slots.close()
        with self._lock:
            for engine in self._by_slot.values():
                engine.kill()

    def _check_wanted(self, cancel: CancelToken) -> None:
        cancel.raise_if_cancelled()
        self._slots.check_open()

    def _engine(self, slot: int, cancel: CancelToken) -> Engine:
        with self._lock:  # so that `close` kills an engine that says nothing, too
            self._check_wanted(cancel)
            known = self._by_slot.get(slot)
            if known is not None:
                if known.alive:
                    return known
                known.kill()  # it died between two queries; this closes its pipes
            self._path = self._path or find_stockfish()
            engine = self._by_slot[slot] = Engine(self._path)
        try:
            engine.start(self._hash_mb, cancel, self._timeout_s)
        except (EngineDied, HandlerFailed) as error:
            engine.kill()
            self._check_wanted(cancel)
            raise HandlerFailed(
                f"{self._path} does not start as a UCI engine: {error} (some programs speak UCI only with an argument, "
                f"as in 'gnuchess --uci')"
            ) from error
        return engine
