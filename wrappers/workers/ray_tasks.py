"""Work of any kind on a Ray cluster: its parts as tasks, and the connection to the cluster."""

from __future__ import annotations

import contextlib
import importlib
import itertools
import os
import pickle
from collections.abc import Callable, Iterable, Iterator
from typing import Any, TypeVar

from spec_envs.errors import HandlerFailed
from spec_envs.extras import needed

ItemType = TypeVar("ItemType")
ResultType = TypeVar("ResultType")

#: How often a part of the work is begun again because its worker has died.
RETRIES = 3
#: How long a task may take to close what it has opened.
_LEAVE_S = 5.0


@contextlib.contextmanager
def connected(address: str | None) -> Iterator[Any]:
    """The module ``ray``, connected to a cluster; a connection that was made here ends with the ``with``.

    Args:
        address: The address of the cluster; ``None``: the one that Ray finds (``RAY_ADDRESS``, or the one that this
            program is connected to), or a new one on this machine.
    """
    with needed("Ray", "ray"):
        ray: Any = importlib.import_module("ray")
    is_ours = not ray.is_initialized()
    if is_ours:
        new = address is None and not os.environ.get("RAY_ADDRESS")
        ray.init(address=address, **({"include_dashboard": False} if new else {}))
    try:
        yield ray
    finally:
        if is_ours:
            ray.shutdown()


def num_cpus(ray: Any) -> int:
    """How many CPUs the cluster has, at least one."""
    return max(1, int(ray.cluster_resources().get("CPU", 1)))


def done_on_ray(
    work: Callable[[ItemType], ResultType], items: Iterable[ItemType], size: int | None, address: str | None
) -> Iterator[tuple[int, ResultType]]:
    """Yield the place of each item with the result of its work, in the order in which the work is done.

    Work that its worker or node has not survived is done again by another. An error, and Ctrl-C, cancel what runs.

    Args:
        work: A function; it is sent to each node once.
        items: The arguments of the work. No more than a few are sent before they can be worked on.
        size: How many are worked on at once; ``None``: one for each CPU.
        address: The address of the cluster, as for ``connected``.

    Raises:
        HandlerFailed: The workers of an item have died again and again.
        Exception: Whatever the work raises; then no further item is begun.
    """
    with connected(address) as ray:
        task = ray.remote(max_retries=RETRIES, num_cpus=1)(_packed)
        sent = ray.put(ray.cloudpickle.dumps(work))
        most = size or 2 * num_cpus(ray)  # where Ray bounds what runs, each CPU has its next item at hand
        due, under_way = iter(enumerate(items)), dict[Any, int]()

        def begin() -> None:
            for place, item in itertools.islice(due, most - len(under_way)):
                under_way[task.remote(sent, item)] = place

        try:
            begin()
            while under_way:
                done = ray.wait(list(under_way), num_returns=1)[0][0]
                place = under_way.pop(done)
                result = pickle.loads(_got(ray, done))
                begin()  # before the result is handed out, so that no worker waits for whoever takes it
                yield place, result
        finally:
            _cancel(ray, list(under_way))


def _packed(work: bytes, item: Any) -> bytes:
    """Do the work; its result is pickled as for other processes, so that it is the same as one of theirs."""
    return pickle.dumps(pickle.loads(work)(item))


def _got(ray: Any, reference: Any) -> bytes:
    try:
        packed: bytes = ray.get(reference)
    except ray.exceptions.RayTaskError as error:
        raise error.cause from error
    except ray.exceptions.RayError as error:
        raise HandlerFailed(f"{1 + RETRIES} workers of the cluster have died at the same work: {error}") from error
    return packed


def _cancel(ray: Any, references: list[Any]) -> None:
    """Interrupt tasks, so that they close what they have opened, and end those that do not."""
    if not references:
        return
    with contextlib.suppress(Exception):  # the cluster may be gone
        for reference in references:
            ray.cancel(reference)
        _, left = ray.wait(references, num_returns=len(references), timeout=_LEAVE_S)
        for reference in left:
            ray.cancel(reference, force=True)
