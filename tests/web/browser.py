"""A real browser, and what it has seen.

Chromium has to be on the PATH, as Debian's package puts it there.
"""

import os
import shutil
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

import pytest
from axe_playwright_python.async_playwright import Axe
from playwright.async_api import Page, ViewportSize, async_playwright

from tests.web.serving import Served

__all__ = ["DESK", "NEEDS_CHROMIUM", "PHONE", "Seen", "seeing"]

_CHROMIUM = shutil.which("chromium")
NEEDS_CHROMIUM = [
    pytest.mark.processes,
    pytest.mark.skipif(_CHROMIUM is None, reason="there is no chromium on the PATH"),
]
PHONE, DESK = ViewportSize(width=390, height=844), ViewportSize(width=1280, height=900)
_SERIOUS = ("serious", "critical")
_SHOTS = Path(os.environ.get("FASTDATA_TEST_SCREENSHOTS", "build/screenshots")).absolute()


class Seen:
    """A page, and what its console said.

    Attributes:
        name: Of the screenshots.
    """

    def __init__(self, page: Page, url: str, name: str) -> None:
        self.page = page
        self.url = url
        self.name = name
        self.said: list[str] = []
        page.on("console", lambda message: self.said.append(message.text))
        page.on("pageerror", lambda error: self.said.append(str(error)))

    async def go(self, path: str) -> None:
        await self.page.goto(self.url + path)

    async def cells(self) -> list[str]:
        return await self.page.locator("#rows tbody tr").all_inner_texts()

    async def shoot(self, what: str) -> None:
        """Keep a screenshot."""
        await self.page.screenshot(path=_SHOTS / f"{self.name}-{what}.png", full_page=True)

    async def check(self, what: str) -> None:
        """Everybody can use it: it is no wider than the screen, and axe has no serious finding."""
        await self.shoot(what)
        size = self.page.viewport_size
        assert size is not None
        assert await self.page.evaluate("document.documentElement.scrollWidth") <= size["width"]
        results = await Axe().run(self.page)
        found = [v for v in results.response["violations"] if v["impact"] in _SERIOUS]
        assert [] == [(v["id"], [node["html"][:120] for node in v["nodes"]]) for v in found]


@asynccontextmanager
async def seeing(served: Served, scheme: str, size: ViewportSize = DESK) -> AsyncIterator[Seen]:
    """A browser at a server; at the end its console must have said nothing.

    Args:
        scheme: "light" or "dark".
    """
    async with async_playwright() as playwright:
        browser = await playwright.chromium.launch(executable_path=_CHROMIUM, args=["--no-sandbox"])
        context = await browser.new_context(color_scheme=scheme, viewport=size)  # type: ignore[arg-type]
        name = f"{scheme}-{size['width']}"
        seen = Seen(await context.new_page(), str(served.client.base_url), name)
        yield seen
        await browser.close()
        assert [] == seen.said
