"""A headless browser that shows pages and measures what it shows. Works with Chromium and Chrome, by their command line."""

from __future__ import annotations

import html
import json
import re
import shutil
import subprocess
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

__all__ = ["BROWSERS", "Shown", "find", "show"]

BROWSERS = ("chromium", "chromium-browser", "google-chrome", "google-chrome-stable", "chrome")
DEADLINE = 50

_MEASURE = Path(__file__).with_name("measure_page.js").read_text(encoding="utf-8")


@dataclass(frozen=True, slots=True)
class Shown:
    """What a browser made of a page.

    Attributes:
        frames: of each width, what was measured: `scrolls` (pixels that it is too wide), `beyond` (elements beyond its right
            edge, but for tables that scroll by themselves), `charts` (how many are drawn) and `empty` (which are not), texts of
            charts that are `outside` of them or `overlapping`, texts that are `faint`, and the `background`'s luminance.
        console: what it complained of.
    """

    frames: list[dict[str, Any]]
    console: list[str]


def find() -> str | None:
    """Return the path of a browser, or None if there is none."""
    return next((path for name in BROWSERS if (path := shutil.which(name))), None)


def show(browser: str, page: str, folder: Path, widths: Sequence[int], *, dark: bool) -> Shown:
    """Show a page in frames of several widths, in pixels, to a reader who prefers light or dark.

    Args:
        browser: the path of its program.
        page: the HTML.
        folder: where its files may be; nothing else is kept of it.
        widths: of the frames.
        dark: what the reader prefers.
    """
    frames = "".join(
        f'<iframe style="width:{width}px;height:800px;border:0" srcdoc="{html.escape(page)}"></iframe>' for width in widths
    )
    path = folder / "frames.html"
    path.write_text(
        f'<!doctype html><meta charset="utf-8">{frames}<pre id="measured"></pre><script>{_MEASURE}</script>', "utf-8"
    )
    done = subprocess.run(
        [
            browser,
            "--headless=new",
            "--no-sandbox",
            "--disable-gpu",
            "--no-first-run",
            "--disable-background-networking",
            "--enable-logging=stderr",
            f"--user-data-dir={folder / 'profile'}",
            f"--blink-settings=preferredColorScheme={0 if dark else 1}",
            "--window-size=1400,900",
            "--dump-dom",
            path.as_uri(),
        ],
        capture_output=True,
        text=True,
        timeout=DEADLINE,
        check=True,
    )
    measured = re.search(r'<pre id="measured">(.*?)</pre>', done.stdout, re.DOTALL)
    assert measured is not None, done.stderr
    console = [line for line in done.stderr.splitlines() if "CONSOLE" in line]
    return Shown(json.loads(html.unescape(measured[1])), console)
