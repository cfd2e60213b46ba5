"""Drive a headless chromium over its debugging pipe: load a page, ask it questions, take its picture.

Used by the tests of the report and by the script that makes the pictures of the documentation. It needs
nothing but the standard library and a chromium (``scripts/install-chromium``).
"""

from __future__ import annotations

import base64
import fcntl
import json
import os
import select
import shutil
import signal
import tempfile
import time
from pathlib import Path
from types import TracebackType
from typing import Any

__all__ = ["Browser", "BrowserError", "find_chromium"]

_FLAGS = (
    "--headless",
    "--no-sandbox",
    "--disable-gpu",
    "--enable-unsafe-swiftshader",  # WebGL without a graphics card, for pages of our own
    "--disable-quic",
    "--no-first-run",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
    "--disable-dev-shm-usage",
    "--hide-scrollbars",
    "--force-color-profile=srgb",
    "--remote-debugging-pipe",
)


class BrowserError(Exception):
    """The browser did not start, did not answer, or a script in the page failed."""


def find_chromium() -> str | None:
    """Path of a chromium, or None."""
    names = ("chromium", "chromium-browser", "google-chrome")
    return next((path for name in names if (path := shutil.which(name))), None)


class Browser:
    """A browser with one page. Use as a context manager.

    Attributes:
        complaints: Console errors and warnings, uncaught exceptions and refused or failed requests of the
            page, since the last :meth:`open`.
        requests: Addresses the page asked for since the last :meth:`open`, the page itself not counted.
    """

    def __init__(self, executable: str, *, timeout_s: float = 60.0) -> None:
        self.executable = executable
        self.timeout_s = timeout_s
        self.complaints: list[str] = []
        self.requests: list[str] = []
        self._number = 0
        self._buffer = b""
        self._session: str | None = None

    def __enter__(self) -> Browser:
        self._profile = tempfile.TemporaryDirectory(
            prefix="layerweaver-chromium-", ignore_cleanup_errors=True
        )
        child_in, self._out = os.pipe()
        self._in, child_out = os.pipe()
        inherited = [fcntl.fcntl(fd, fcntl.F_DUPFD, 32) for fd in (child_in, child_out)]
        null = os.open(os.devnull, os.O_RDWR)
        self._pid = os.posix_spawn(
            self.executable,
            [self.executable, *_FLAGS, f"--user-data-dir={self._profile.name}", "about:blank"],
            dict(os.environ),
            file_actions=[
                (os.POSIX_SPAWN_DUP2, inherited[0], 3),
                (os.POSIX_SPAWN_DUP2, inherited[1], 4),
                (os.POSIX_SPAWN_DUP2, null, 1),
                (os.POSIX_SPAWN_DUP2, null, 2),
            ],
            setpgroup=0,
        )
        for fd in (child_in, child_out, null, *inherited):
            os.close(fd)
        target = self.call("Target.createTarget", url="about:blank")["targetId"]
        self._session = self.call("Target.attachToTarget", targetId=target, flatten=True)["sessionId"]
        for domain in ("Page", "Runtime", "Log", "Network"):
            self.call(f"{domain}.enable")
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        os.killpg(self._pid, signal.SIGKILL)
        os.waitpid(self._pid, 0)
        os.close(self._in)
        os.close(self._out)
        self._profile.cleanup()

    def call(self, method: str, **params: Any) -> dict[str, Any]:
        """Call a method of the debugging protocol and return its result."""
        self._number += 1
        message: dict[str, Any] = {"id": self._number, "method": method, "params": params}
        if self._session is not None:
            message["sessionId"] = self._session
        data = json.dumps(message).encode() + b"\0"
        while data:
            data = data[os.write(self._out, data) :]
        deadline = time.monotonic() + self.timeout_s
        while True:
            answer = self._receive(deadline, method)
            if answer.get("id") != self._number:
                self._note(answer)
                continue
            if "error" in answer:
                raise BrowserError(f"{method}: {answer['error'].get('message')}")
            result: dict[str, Any] = answer["result"]
            return result

    def _receive(self, deadline: float, method: str) -> dict[str, Any]:
        while b"\0" not in self._buffer:
            ready, _, _ = select.select([self._in], [], [], max(0.0, deadline - time.monotonic()))
            if not ready:
                raise BrowserError(f"no answer to {method} within {self.timeout_s:g} s")
            data = os.read(self._in, 1 << 16)
            if not data:
                raise BrowserError("the browser ended")
            self._buffer += data
        line, self._buffer = self._buffer.split(b"\0", 1)
        message: dict[str, Any] = json.loads(line)
        return message

    def _note(self, event: dict[str, Any]) -> None:
        params = event.get("params", {})
        match event.get("method"):
            case "Runtime.consoleAPICalled" if params["type"] in {"error", "warning", "assert"}:
                self.complaints.append(" ".join(str(part.get("value")) for part in params["args"]))
            case "Runtime.exceptionThrown":
                details = params["exceptionDetails"]
                self.complaints.append(details.get("exception", {}).get("description") or details["text"])
            case "Log.entryAdded" if params["entry"]["level"] in {"error", "warning"}:
                if not params["entry"]["text"].startswith("[.WebGL-"):  # how the software drawer fares
                    self.complaints.append(params["entry"]["text"])
            case "Network.requestWillBeSent" if params["type"] != "Document":
                if not params["request"]["url"].startswith(("data:", "blob:")):
                    self.requests.append(params["request"]["url"])

    def view(
        self, width: int, height: int, *, dark: bool = False, media: str = "screen", scale: float = 1.0
    ) -> None:
        """Set the size of the window in CSS pixels, the colour scheme and the medium."""
        self.call(
            "Emulation.setDeviceMetricsOverride",
            width=width,
            height=height,
            deviceScaleFactor=scale,
            mobile=width < 600,
        )
        scheme = {"name": "prefers-color-scheme", "value": "dark" if dark else "light"}
        self.call("Emulation.setEmulatedMedia", media=media, features=[scheme])

    def open(self, page: Path, *, until: str = "document.readyState === 'complete'") -> None:
        """Load a file and wait until the expression ``until`` holds."""
        self.complaints.clear()
        self.requests.clear()
        self.call("Page.navigate", url=page.resolve().as_uri())
        self.wait(f"location.href !== 'about:blank' && document.documentElement && ({until})")

    def wait(self, condition: str) -> None:
        """Wait until a JavaScript expression holds."""
        deadline = time.monotonic() + self.timeout_s
        while not self.ask(f"Boolean({condition})"):
            if time.monotonic() > deadline:
                raise BrowserError(f"{condition} did not come true; the page complained: {self.complaints}")
            time.sleep(0.05)

    def ask(self, expression: str) -> Any:
        """Value of a JavaScript expression (a promise is awaited), as JSON."""
        result = self.call("Runtime.evaluate", expression=expression, returnByValue=True, awaitPromise=True)
        if "exceptionDetails" in result:
            details = result["exceptionDetails"]
            raise BrowserError(details.get("exception", {}).get("description") or details["text"])
        return result["result"].get("value")

    def press(self, key: str, code: int, text: str = "") -> None:
        """Press and release a key."""
        common = {"key": key, "code": key, "windowsVirtualKeyCode": code, "nativeVirtualKeyCode": code}
        self.call("Input.dispatchKeyEvent", type="keyDown", text=text, **common)
        self.call("Input.dispatchKeyEvent", type="keyUp", **common)

    def picture(self, target: Path, selector: str | None = None, *, whole: bool = False) -> None:
        """Save the window, the whole page, or one element as PNG."""
        options: dict[str, Any] = {"format": "png"}
        if selector is not None:
            box = self.ask(
                f"(() => {{const b = document.querySelector({json.dumps(selector)}).getBoundingClientRect();"
                "return {x: b.x + scrollX, y: b.y + scrollY, width: b.width, height: b.height, scale: 1}})()"
            )
            options |= {"clip": box, "captureBeyondViewport": True}
        elif whole:
            size = self.call("Page.getLayoutMetrics")["cssContentSize"]
            clip = {"x": 0, "y": 0, "width": size["width"], "height": size["height"], "scale": 1}
            options |= {"clip": clip, "captureBeyondViewport": True}
        data = self.call("Page.captureScreenshot", **options)["data"]
        target.write_bytes(base64.b64decode(data))

    def print_pdf(self, target: Path) -> None:
        """Save the page as it prints."""
        target.write_bytes(base64.b64decode(self.call("Page.printToPDF", printBackground=False)["data"]))
