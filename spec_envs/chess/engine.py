"""Stockfish, or another UCI engine, for many users at once: a pool of engines with equal answers to equal queries.

An engine serves one query at a time. Each query starts from an empty hash table and is limited by depth or nodes, never
by the clock, so its answer depends neither on earlier queries nor on how busy the machine is. The engines of a pool are
run by one background thread. They start when first needed; an engine that died is replaced and its query repeated.
"""

from __future__ import annotations

import asyncio
import dataclasses
import os
import shutil
from typing import Any

import chess
import chess.engine
from gymnasium.error import DependencyNotInstalled

from spec_envs.background_loop import BackgroundLoop
from spec_envs.checks import integer, integer_or_none
from spec_envs.chess.builtin import MATE
from spec_envs.chess.position import Position
from spec_envs.closing import Closing
from spec_envs.errors import HandlerFailed, InvalidConfiguration
from spec_envs.handling import CancelToken

#: Environment variable with the path of the engine to use instead of an installed Stockfish.
STOCKFISH_VARIABLE = "SPEC_ENVS_STOCKFISH"

# Debian installs games outside the PATH of root and of many services.
_PLACES = ("/usr/games/stockfish", "/usr/local/bin/stockfish", "/opt/homebrew/bin/stockfish")
_REPEATS = 2
_PATIENCE_S = 2.0


def find_stockfish() -> str:
    """The path of Stockfish: from ``SPEC_ENVS_STOCKFISH``, the ``PATH``, or where systems usually put it.

    Raises:
        DependencyNotInstalled: Stockfish was not found; the message says how to install it.
    """
    chosen = os.environ.get(STOCKFISH_VARIABLE)
    places = (chosen,) if chosen else ("stockfish", *_PLACES)
    for place in places:
        path = shutil.which(place)
        if path is not None:
            return path
    if chosen:
        raise DependencyNotInstalled(f"{STOCKFISH_VARIABLE}={chosen} is not a program that can be run")
    raise DependencyNotInstalled(
        f"Stockfish is not installed: run `apt-get install stockfish` (or `brew install stockfish`), or set "
        f"{STOCKFISH_VARIABLE} to its path; the built-in engine needs neither"
    )


@dataclasses.dataclass(frozen=True, slots=True)
class Line:
    """A candidate move (UCI) and its score in centipawns for the side to move; ``MATE - n`` is mate in ``n``."""

    move: str
    score: int


class EnginePool(Closing):
    """UCI engines behind one blocking method, ``analyse``, that any number of threads may call.

    The constructor starts nothing. ``close`` stops every engine and the background thread; so do ``with``, the garbage
    collector and the end of the program.

    Args:
        path: The engine's program. Default: ``find_stockfish()`` at first use.
        max_engines: Engines that run at once, about 140 MB each; further queries wait. Default: one per processor, up
            to 4.
        hash_mb: Size of each engine's hash table.
        timeout_s: Longest that one query, or the start of an engine, may take: a hung engine is killed then.
    """

    def __init__(
        self,
        path: str | None = None,
        *,
        max_engines: int | None = None,
        hash_mb: int = 1,
        timeout_s: float = 60.0,
    ) -> None:
        if not timeout_s > 0:
            raise InvalidConfiguration(f"timeout_s must be above 0, not {timeout_s!r}")
        max_engines = integer_or_none("max_engines", max_engines, least=1) or min(4, os.cpu_count() or 1)
        self._engines = _Engines(path, max_engines, integer("hash_mb", hash_mb, least=1), timeout_s)
        self._loop = BackgroundLoop("the engine pool", last=self._engines.discard_all)

    def analyse(
        self,
        position: Position | chess.Board,
        *,
        depth: int | None = None,
        nodes: int | None = None,
        multipv: int = 1,
        cancel: CancelToken | None = None,
    ) -> list[Line]:
        """The best moves, best first: as many as asked for, or as there are legal moves.

        Args:
            position: What to analyse; a board is copied.
            depth: Plies to search. One of ``depth`` and ``nodes`` must be given; with both, whichever ends first.
            nodes: Nodes to search.
            multipv: How many moves to rank.
            cancel: When it is cancelled the search is stopped.

        Raises:
            CallCancelled: ``cancel`` was cancelled.
            HandlerFailed: The engine hung, or died again when the query was repeated.
            InvalidConfiguration: No limit, one below 1, or a position that cannot be (which would crash the engine).
            DependencyNotInstalled: There is no engine.
            EnvClosed: The pool was closed.
        """
        if depth is None and nodes is None:
            raise InvalidConfiguration("give depth or nodes: a search without limit has no end")
        limit = chess.engine.Limit(
            depth=integer_or_none("depth", depth, least=1), nodes=integer_or_none("nodes", nodes, least=1)
        )
        multipv = integer("multipv", multipv, least=1)
        board = position.board() if isinstance(position, Position) else position.copy()
        if not board.is_valid():
            raise InvalidConfiguration(f"no game can come to the position {board.fen()}: {board.status()!r}")
        if not any(board.legal_moves):
            return []
        return self._loop.run(self._engines.analyse(_Search(board, limit, multipv)), cancel)

    def pids(self) -> list[int]:
        """The process ids of the engines that are running."""
        return self._engines.pids()

    def close(self) -> None:
        """Stop all engines; calls that wait for one raise ``EnvClosed``. Idempotent."""
        self._loop.close()


class _Search:
    """One analysis, which can be stopped in the way that chess engines understand.

    Cancelling it in asyncio's way would leave python-chess waiting for the engine's answer.
    """

    def __init__(self, board: chess.Board, limit: chess.engine.Limit, multipv: int) -> None:
        self.board = board
        self._limit = limit
        self._multipv = multipv
        self._analysis: chess.engine.AnalysisResult | None = None
        self._stopped = False

    async def run(self, engine: chess.engine.UciProtocol) -> list[Line]:
        # A new game for each query empties the engine's hash table.
        wanted = chess.engine.INFO_SCORE | chess.engine.INFO_PV
        analysis = await engine.analysis(self.board, self._limit, multipv=self._multipv, game=object(), info=wanted)
        self._analysis = analysis
        if self._stopped:
            analysis.stop()
        best = (await analysis.wait()).move
        lines: dict[str, int] = {}
        for info in analysis.multipv:
            if info.get("pv") and "score" in info:  # a mated side's info has no moves
                lines.setdefault(info["pv"][0].uci(), info["score"].relative.score(mate_score=MATE))
        if not lines and best is not None:
            lines[best.uci()] = 0
        return [Line(move, score) for move, score in lines.items()]

    def stop(self) -> None:
        self._stopped = True
        if self._analysis is not None:
            self._analysis.stop()


class _Engines:
    """The engines of a pool, on the event loop that runs them."""

    def __init__(self, path: str | None, max_engines: int, hash_mb: int, timeout_s: float) -> None:
        self._path = path
        self._max_engines = max_engines
        self._options = {"Threads": 1, "Hash": hash_mb}
        self._timeout_s = timeout_s
        self._begin()

    def _begin(self) -> None:
        self._process = os.getpid()
        self._slots = asyncio.Semaphore(self._max_engines)
        self._idle: list[chess.engine.UciProtocol] = []
        self._running: set[chess.engine.UciProtocol] = set()

    def _is_of_a_parent(self) -> bool:
        return self._process != os.getpid()

    def pids(self) -> list[int]:
        running = () if self._is_of_a_parent() else tuple(self._running)
        return [engine.transport.get_pid() for engine in running if engine.transport is not None]

    async def analyse(self, search: _Search) -> list[Line]:
        if self._is_of_a_parent():  # the process was forked: its engines are the parent's
            self._begin()
        async with self._slots:
            for _ in range(1 + _REPEATS):
                engine = self._idle.pop() if self._idle else await self._start()
                try:
                    return await self._run(search, engine)
                except chess.engine.EngineError as error:
                    failure = error
        raise HandlerFailed(f"{self._path} failed {1 + _REPEATS} times on {search.board.fen()}: {failure}") from failure

    async def _start(self) -> chess.engine.UciProtocol:
        asyncio.get_running_loop().set_exception_handler(_ignore_the_dead)
        self._path = self._path or find_stockfish()
        try:
            _, engine = await chess.engine.UciProtocol.popen(self._path)
        except OSError as error:
            raise self._no_engine(error) from error
        self._running.add(engine)
        try:
            await asyncio.wait_for(engine.initialize(), self._timeout_s)
            # Only sends lines, and waits for nothing.
            await engine.configure({name: value for name, value in self._options.items() if name in engine.options})
        except BaseException as error:
            await self._discard(engine)
            if isinstance(error, TimeoutError | chess.engine.EngineError):
                raise self._no_engine(error) from error
            raise
        return engine

    def _no_engine(self, error: Exception) -> HandlerFailed:
        return HandlerFailed(f"{self._path} does not start as a UCI engine: {error!r}")

    async def _run(self, search: _Search, engine: chess.engine.UciProtocol) -> list[Line]:
        """The answer to ``search``. Afterwards the engine is idle, or was killed because it gave no answer."""
        answer = asyncio.ensure_future(search.run(engine))
        # python-chess does not tell a query that was not yet under way that its engine died; the exit code does.
        either: list[asyncio.Future[Any]] = [answer, engine.returncode]
        try:
            await asyncio.wait(either, timeout=self._timeout_s, return_when=asyncio.FIRST_COMPLETED)
        except asyncio.CancelledError:
            search.stop()
            await asyncio.wait(either, timeout=_PATIENCE_S, return_when=asyncio.FIRST_COMPLETED)
            raise
        finally:
            died, answered = engine.returncode.done(), answer.done()
            if answered and not answer.cancelled() and answer.exception() is None:
                self._idle.append(engine)
            else:
                answer.cancel()
                await self._discard(engine)
        if answered:
            return answer.result()
        if died:
            raise chess.engine.EngineTerminatedError(f"exit code {engine.returncode.result()}")
        raise HandlerFailed(
            f"{self._path} gave no answer on {search.board.fen()} in {self._timeout_s} s and was killed"
        )

    async def _discard(self, engine: chess.engine.UciProtocol) -> None:
        """Kill an engine, and wait until the system has let go of it."""
        self._running.discard(engine)
        if engine.transport is not None:
            engine.transport.close()
        await asyncio.wait({engine.returncode}, timeout=_PATIENCE_S)

    async def discard_all(self) -> None:
        await asyncio.gather(*(self._discard(engine) for engine in tuple(self._running)))


def _ignore_the_dead(loop: asyncio.AbstractEventLoop, context: dict[str, Any]) -> None:
    # An engine that died leaves futures of python-chess that nobody looks at; its death was seen by its exit code.
    if not isinstance(context.get("exception"), chess.engine.EngineError):
        loop.default_exception_handler(context)
