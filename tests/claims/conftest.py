"""Empty tables, and a judge of small claims files."""

import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pandas as pd
import pytest

sys.path.insert(0, str(Path(__file__).resolve().parent))  # made_up_claims, whatever import mode pytest runs in
from made_up_claims import SCHEMA

from seqscale.claims import judge, load_claims
from seqscale.tables.columns import TABLES, as_table


@pytest.fixture
def tables() -> dict[str, pd.DataFrame]:
    """All tables, empty."""
    return {name: as_table(name, []) for name in TABLES}


Judge = Callable[..., list[dict[str, Any]]]


@pytest.fixture
def verdicts(tmp_path: Path, tables: dict[str, pd.DataFrame]) -> Judge:
    """judge(test_yaml, runs=[...], bench=[...], head="...") -> rows of one claim 000.x with that one test."""

    def run(test: str, head: str = "", **rows: list[dict[str, Any]]) -> list[dict[str, Any]]:
        text = (
            'sources: {"000": {title: t, kind: k, protocol: p}}\nclaims:\n  - id: 000.x\n    title: t\n    figure: f\n'
            f"    unit: nats per character\n{head}    tests:\n      - {test}\n"
        )
        path = tmp_path / "claims.yaml"
        path.write_text(text, encoding="utf-8")
        filled = {**tables, **{name: as_table(name, some) for name, some in rows.items()}}
        return judge(load_claims(path, SCHEMA), filled)

    return run
