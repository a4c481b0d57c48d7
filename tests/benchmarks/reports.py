"""Reports of benches, as tests compare them."""

from __future__ import annotations

import json
import tempfile
from pathlib import Path
from typing import Any

from click.testing import CliRunner

from spec_envs.benchmarks.cli import main


def report_of(*args: object) -> Any:
    """What ``spec-envs bench ARGS --json FILE`` reports, less its configuration."""
    with tempfile.TemporaryDirectory() as folder:
        file = Path(folder, "report.json")
        result = CliRunner().invoke(main, ["bench", *map(str, args), "--json", str(file)])
        assert result.exit_code == 0, result.output
        report = json.loads(file.read_text(encoding="utf-8"))
    del report["config"]
    return report
