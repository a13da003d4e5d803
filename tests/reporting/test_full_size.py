"""A page as large as the full configuration's: small enough, painted before its figures, tested by its numbers."""

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import made_up_full
import pytest
from browser import CHROMIUM, chromium, opened
from made_up_results import make_digest

from seqscale.files import read_json
from seqscale.reporting.figures import draw_all
from seqscale.reporting.publish import publish
from seqscale.reporting.source import load_tables
from seqscale.reporting.style import load_style

pytestmark = [
    pytest.mark.chromium,
    pytest.mark.skipif(CHROMIUM is None, reason="no chromium in PATH (apt-get install chromium)"),
]


@pytest.fixture(scope="module")
def large(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The report of a made-up full run, every figure drawn."""
    root = made_up_full.build(tmp_path_factory.mktemp("full"))
    make_digest(root)
    tables = load_tables(root / "tables", read_json(root / "config.json"))
    draw_all(tables, load_style(names=tables.model_names), root / "figures", kinds=("svg",))
    return publish(tables=root / "tables", verdicts=root / "verdicts.csv", figures=root / "figures",
                   config=root / "config.json", out=root / "report.html")  # fmt: skip


@pytest.fixture(scope="module")
def browser() -> Iterator[Any]:
    """One browser for the tests here."""
    with chromium() as running:
        yield running


def test_it_is_as_large_as_it_says_and_still_one_small_file(large: Path) -> None:
    text = large.read_text(encoding="utf-8")
    assert text.count('class="dossier') == 40
    assert text.count('class="spec"') >= 30
    size = large.stat().st_size
    print(f"{size / 1e6:.1f} MB")
    assert size < 15e6


def test_it_is_painted_before_its_figures_are_drawn(large: Path, browser: Any) -> None:
    with opened(browser, large) as seen:
        paint = "performance.getEntriesByName('first-contentful-paint')[0]?.startTime"
        seen.page.wait_for_function(paint)
        time = seen.page.evaluate(paint)
        print(f"first paint of the full page after {time:.0f} ms")  # 2 s is the aim on an idle machine; not asserted
        assert seen.page.evaluate("document.querySelectorAll('.drawn').length") == 0
        seen.page.wait_for_selector("#board th button")
        assert seen.complaints == []
