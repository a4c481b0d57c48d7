"""Reports of benches, as tests compare them."""

from __future__ import annotations

import json
from typing import Any

from click.testing import CliRunner

from spec_envs.benchmarks.cli import main


def report_of(*args: object) -> Any:
    """What ``spec-envs bench ARGS --json -`` reports, less its configuration."""
    result = CliRunner().invoke(main, ["bench", *map(str, args), "--json", "-"])
    assert result.exit_code == 0, result.output
    report = json.loads(result.stdout)
    del report["config"]
    return report
