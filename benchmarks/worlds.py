"""What it costs to generate worlds: ``python -m spec_envs.benchmarks.worlds``.

Each row is measured in a process of its own: seconds of the processor, and the greatest memory of the process.
"""

import resource
import time
from collections.abc import Callable
from concurrent.futures import ProcessPoolExecutor
from multiprocessing import get_context

import click
from rich.console import Console
from rich.table import Table

from spec_envs.retail import load_data, load_tasks
from spec_envs.search import load_corpus

_MB = 1024  # ru_maxrss counts kilobytes on Linux


def retail_data(size: int) -> int:
    """Generate a shop; returns how many customers it has."""
    return len(load_data("generated", size=size).tables["users"])


def retail_tasks(size: int) -> int:
    """Generate the tasks of a shop, too; returns how many there are."""
    return len(load_tasks("generated", size=size))


def search_world(size: int) -> int:
    """Generate a wiki and its questions; returns how many pages there are."""
    return len(load_corpus("generated", size=size))


_WORLDS: dict[str, Callable[[int], int]] = {
    "retail: customers, with orders and products": retail_data,
    "retail: tasks, and all that": retail_tasks,
    "search: pages, with questions": search_world,
}


def measured(make: Callable[[int], int], size: int) -> tuple[int, float, int, int]:
    """What ``make`` returns, the seconds of the processor that it took, and the memory before and after it in MB."""
    before, start = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss // _MB, time.process_time()
    count = make(size)
    return count, time.process_time() - start, before, resource.getrusage(resource.RUSAGE_SELF).ru_maxrss // _MB


@click.command(help=__doc__)
@click.option("--size", "sizes", type=click.IntRange(1, 100), multiple=True, default=(1, 100), show_default=True)
def main(sizes: tuple[int, ...]) -> None:
    """Measure all worlds at each size, and print a table."""
    table = Table("world", "size", "count", "processor s", "MB before", "MB at most")
    for name, make in _WORLDS.items():
        for size in sizes:
            with ProcessPoolExecutor(1, get_context("spawn")) as pool:
                count, seconds, before, after = pool.submit(measured, make, size).result()
            table.add_row(name, str(size), f"{count:,}", f"{seconds:.2f}", str(before), str(after))
    Console().print(table)


if __name__ == "__main__":
    main()
