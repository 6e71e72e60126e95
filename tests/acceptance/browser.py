"""A real browser: chromium without a window, driven over the WebDriver protocol (W3C WebDriver)."""

import base64
import json
import re
import shutil
import subprocess
import urllib.request
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

from tests.waiting import await_true

MISSING: Final = (
    "chromium and chromedriver are not installed: apt-get install chromium chromium-driver, or run"
    " make browser-test, which does so"
)
"""Why the tests in a browser are skipped."""
_ARGUMENTS: Final = [
    "--headless=new",
    "--no-sandbox",  # the tests may run as root
    "--disable-gpu",
    "--disable-dev-shm-usage",
    "--hide-scrollbars",
    "--no-first-run",
    "--disable-component-update",
    "--disable-background-networking",
]
_PORT: Final = re.compile(r"started successfully on port (\d+)")


@dataclass(frozen=True, slots=True)
class Screen:
    """The size of a window in CSS pixels, and its colours."""

    width: int
    height: int
    dark: bool = False
    scale: float = 1.0


DESKTOP: Final = Screen(1280, 900)
PHONE: Final = Screen(390, 844)


def is_installed() -> bool:
    """Return whether the browser and its driver are there."""
    return bool(shutil.which("chromium") and shutil.which("chromedriver"))


class Browser:
    """One window of a browser."""

    def __init__(self, driver: str) -> None:
        """Open a window; `driver` is the URL of chromedriver."""
        self._driver = driver
        options = {"binary": shutil.which("chromium"), "args": _ARGUMENTS}
        wanted = {
            "goog:chromeOptions": options,
            "goog:loggingPrefs": {"browser": "ALL"},
            "acceptInsecureCerts": True,
        }
        made = self._call("POST", "/session", {"capabilities": {"alwaysMatch": wanted}})
        self._session = f"/session/{made['sessionId']}"

    def _call(self, method: str, path: str, body: object = None) -> Any:  # noqa: ANN401 - JSON
        content = None if method == "GET" else json.dumps(body or {}).encode()
        request = urllib.request.Request(  # noqa: S310 - http
            f"{self._driver}{path}",
            data=content,
            method=method,
            headers={"Content-Type": "application/json"},
        )
        with urllib.request.urlopen(request, timeout=60) as answer:  # noqa: S310 - http
            return json.load(answer)["value"]

    def devtools(self, command: str, **parameters: object) -> Any:  # noqa: ANN401 - JSON
        """Run a command of the Chrome DevTools Protocol."""
        body = {"cmd": command, "params": parameters}
        return self._call("POST", f"{self._session}/goog/cdp/execute", body)

    def show(self, screen: Screen, *, script: bool = True) -> None:
        """Use a size, colours, and scripts or none, from the next page on."""
        self.devtools(
            "Emulation.setDeviceMetricsOverride",
            width=screen.width,
            height=screen.height,
            deviceScaleFactor=screen.scale,
            mobile=screen.width < DESKTOP.width,
        )
        colours = {"name": "prefers-color-scheme", "value": "dark" if screen.dark else "light"}
        self.devtools("Emulation.setEmulatedMedia", features=[colours])
        self.devtools("Emulation.setScriptExecutionDisabled", value=not script)

    def open(self, url: str) -> None:
        """Load a page."""
        self._call("POST", f"{self._session}/url", {"url": url})

    def run(self, script: str) -> Any:  # noqa: ANN401 - JSON
        """Return the value of a JavaScript expression on the page; works with scripts disabled."""
        body = {"script": f"return {script}", "args": []}
        return self._call("POST", f"{self._session}/execute/sync", body)

    def text(self, selector: str = "body") -> str:
        """Return the text of an element as a person sees it."""
        return str(self.run(f"document.querySelector({json.dumps(selector)}).innerText"))

    def console(self) -> list[str]:
        """Return what the browser has complained of since the last call."""
        entries = self._call("POST", f"{self._session}/se/log", {"type": "browser"})
        return [f"{entry['level']}: {entry['message']}" for entry in entries]

    def screenshot(self, path: Path, *, whole: bool = False) -> None:
        """Save a picture of the window, or of the whole page."""
        more: dict[str, object] = {"captureBeyondViewport": True} if whole else {}
        if whole:
            size = self.devtools("Page.getLayoutMetrics")["cssContentSize"]
            more["clip"] = {**size, "x": 0, "y": 0, "scale": 1}
        shot = self.devtools("Page.captureScreenshot", format="png", **more)
        path.write_bytes(base64.b64decode(shot["data"]))

    def close(self) -> None:
        """Close the window."""
        self._call("DELETE", self._session)


@contextmanager
def open_browser(folder: Path) -> Iterator[Browser]:
    """Start chromedriver and a browser; end both after the block."""
    log = folder / "chromedriver.log"
    with log.open("wb") as output:
        driver = subprocess.Popen(["chromedriver", "--port=0"], stdout=output, stderr=output)
    try:
        await_true(lambda: _PORT.search(log.read_text()), what="chromedriver")
        found = _PORT.search(log.read_text())
        assert found
        browser = Browser(f"http://127.0.0.1:{found[1]}")
        try:
            yield browser
        finally:
            browser.close()
    finally:
        driver.terminate()
        driver.wait(10)
