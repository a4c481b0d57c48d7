"""Running commands outside the checkout, so that nothing is imported from the working directory."""

from __future__ import annotations

import os
import subprocess
from pathlib import Path


def run(*command: str | Path, cwd: Path | None = None, timeout_s: float = 280.0) -> subprocess.CompletedProcess[str]:
    """Run ``command`` in ``cwd``, without the settings of Python in the environment."""
    environment = {name: value for name, value in os.environ.items() if not name.startswith("PYTHON")}
    return subprocess.run(command, cwd=cwd, env=environment, capture_output=True, text=True, timeout=timeout_s)


def succeed(*command: str | Path, cwd: Path | None = None) -> str:
    """The standard output of ``command``, which must succeed."""
    done = run(*command, cwd=cwd)
    assert done.returncode == 0, f"{' '.join(map(str, command))}\n{done.stdout}\n{done.stderr}"
    return done.stdout
