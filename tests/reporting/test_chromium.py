"""The report in a real browser with the network off: all figures visible, no errors, no sideways scrolling."""

import json
import re
import shutil
import subprocess
from html import unescape
from pathlib import Path
from typing import Any

import pytest

from seqscale.reporting import catalog

CHROMIUM = shutil.which("chromium") or shutil.which("chromium-browser") or shutil.which("google-chrome")
pytestmark = [
    pytest.mark.chromium,
    pytest.mark.skipif(CHROMIUM is None, reason="no chromium in PATH (apt-get install chromium)"),
]
WIDTHS = (390, 820, 1600)
FLAGS = [
    "--headless",
    "--no-sandbox",
    "--disable-gpu",
    "--disable-quic",
    "--no-first-run",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
    "--disable-dev-shm-usage",
    "--hide-scrollbars",
    "--proxy-server=127.0.0.1:9",
    "--enable-logging=stderr",
    "--v=0",
    "--virtual-time-budget=15000",
]

# Runs inside a copy of the report and tells the frame around it what a reader would see.
PROBE = """<script>
window.failures = [];
addEventListener("error", e => window.failures.push(String(e.message || e.target.outerHTML)), true);
addEventListener("load", () => {
  const root = document.documentElement, all = q => [...document.querySelectorAll(q)];
  const boxed = e => e.closest(".scroll, .config, .sr, .skip") || e.closest("svg");
  const outside = e => !boxed(e) && e.getBoundingClientRect().right > root.clientWidth + 0.5;
  const size = e => [e.getBoundingClientRect().width, e.getBoundingClientRect().height];
  parent.postMessage({
    width: root.clientWidth,
    dark: matchMedia("(prefers-color-scheme: dark)").matches,
    scroll: root.scrollWidth,
    outside: all("body *").filter(outside).slice(0, 5).map(e => e.outerHTML.slice(0, 120)),
    plots: all("svg.plot").map(size),
    drawn: all("svg.plot").map(e => e.getBBox().width),
    images: [...document.images].map(e => e.naturalWidth),
    loaded: performance.getEntriesByType("resource").map(e => e.name),
    grounds: [...new Set(all("svg.plot [style*='fill: #ffffff']").map(e => getComputedStyle(e).fill))],
    paper: getComputedStyle(document.body).backgroundColor,
    failures: window.failures,
  }, "*");
});
</script>"""


def look(report: Path, folder: Path, *flags: str) -> tuple[list[dict[str, Any]], list[str]]:
    """What the probe saw at each width, and what the browser logged on its console.

    Frames stand in for windows, because a headless window cannot be as narrow as a phone.
    """
    probed = report.read_text(encoding="utf-8").replace("<head>", "<head>" + PROBE, 1)
    (folder / "probed.html").write_text(probed, encoding="utf-8")
    frames = "".join(f'<iframe src="probed.html" width="{w}" height="900" style="border:0"></iframe>' for w in WIDTHS)
    (folder / "frames.html").write_text(
        "<!DOCTYPE html><meta charset=utf-8><meta name=color-scheme content='light dark'><link rel=icon href='data:,'>"
        "<pre id=out></pre><script>const seen=[];addEventListener('message',e=>{seen.push(e.data);"
        f"document.getElementById('out').textContent=JSON.stringify(seen)}})</script>{frames}",
        encoding="utf-8",
    )
    assert CHROMIUM is not None
    done = subprocess.run(
        [CHROMIUM, *FLAGS, *flags, f"--user-data-dir={folder / 'profile'}", "--dump-dom",
         (folder / "frames.html").as_uri()],
        capture_output=True, text=True, timeout=120,
    )  # fmt: skip
    found = re.search(r'<pre id="out">(.*?)</pre>', done.stdout, flags=re.DOTALL)
    assert found is not None, f"the browser gave no page:\n{done.stderr[-2000:]}"
    console = [line for line in done.stderr.splitlines() if "CONSOLE" in line]
    return sorted(json.loads(unescape(found.group(1))), key=lambda seen: seen["width"]), console


@pytest.fixture(scope="module")
def seen(report: Path, tmp_path_factory: pytest.TempPathFactory) -> tuple[list[dict[str, Any]], list[str]]:
    """The report at all widths on a light screen."""
    return look(report, tmp_path_factory.mktemp("light"), "--blink-settings=preferredColorScheme=1")


def test_no_console_message_and_no_error(seen: tuple[list[dict[str, Any]], list[str]]) -> None:
    views, console = seen
    assert console == []
    assert [view["failures"] for view in views] == [[]] * len(WIDTHS)


def test_nothing_was_loaded(seen: tuple[list[dict[str, Any]], list[str]]) -> None:
    assert [view["loaded"] for view in seen[0]] == [[]] * len(WIDTHS)


def test_every_figure_is_visible(seen: tuple[list[dict[str, Any]], list[str]]) -> None:
    for view in seen[0]:
        assert len(view["plots"]) == len(catalog.FIGURES)
        assert all(width > 300 and height > 80 for width, height in view["plots"])
        assert all(width > 100 for width in view["drawn"])
        assert all(width > 0 for width in view["images"])


def test_the_page_never_scrolls_sideways(seen: tuple[list[dict[str, Any]], list[str]]) -> None:
    views, _ = seen
    assert [view["width"] for view in views] == list(WIDTHS)
    for view in views:
        assert view["scroll"] <= view["width"], view["outside"]
        assert view["outside"] == []


def test_on_a_dark_screen_figures_are_dark(
    report: Path, seen: tuple[list[dict[str, Any]], list[str]], tmp_path: Path
) -> None:
    dark, console = look(report, tmp_path, "--blink-settings=preferredColorScheme=0")
    assert console == []
    assert all(view["dark"] for view in dark)
    assert not any(view["dark"] for view in seen[0])
    for view in dark:
        assert view["grounds"] == [view["paper"]] != ["rgb(255, 255, 255)"]
    assert seen[0][0]["grounds"] == ["rgb(255, 255, 255)"]
