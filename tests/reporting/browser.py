"""A headless Chromium with the network off, for the tests of the page."""

import os
import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

CHROMIUM = shutil.which("chromium") or shutil.which("chromium-browser") or shutil.which("google-chrome")
ROOT = Path(__file__).resolve().parents[2]
# .ci/run fetches it from the npm registry (axe-core, MPL-2.0); it is not part of the repository.
AXE = Path(os.environ.get("SEQSCALE_AXE") or ROOT / ".tools" / "axe" / "package" / "axe.min.js")


class Seen:
    """A page in the browser, and everything that it complained about or asked for."""

    def __init__(self, page: Any) -> None:
        self.page = page
        self.complaints: list[str] = []
        self.requests: list[str] = []
        page.on("console", lambda message: self.complaints.append(f"{message.type}: {message.text}"))
        page.on("pageerror", lambda error: self.complaints.append(f"error: {error}"))
        page.on("request", self._asked)

    def _asked(self, request: Any) -> None:
        if not request.url.startswith(("file:", "data:", "blob:")):
            self.requests.append(request.url)


@contextmanager
def chromium() -> Iterator[Any]:
    """The browser."""
    from playwright.sync_api import sync_playwright

    with sync_playwright() as playwright:
        running = playwright.chromium.launch(executable_path=CHROMIUM, args=["--no-sandbox", "--disable-gpu"])
        yield running
        running.close()


@contextmanager
def opened(browser: Any, file: Path, width: int = 1600, scheme: str = "light", **options: Any) -> Iterator[Seen]:
    """`file` in a window of that width, offline; closed at the end of the block."""
    context = browser.new_context(
        viewport={"width": width, "height": 900}, color_scheme=scheme, offline=True, **options
    )
    context.set_default_timeout(60_000)
    seen = Seen(context.new_page())
    seen.page.goto(file.as_uri())
    yield seen
    context.close()
