"""A real browser, driven over its DevTools protocol."""

from __future__ import annotations

import asyncio
import contextlib
import itertools
import shutil
import subprocess
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import aiohttp

BROWSERS = ("chromium", "chromium-browser", "google-chrome")
KEYS = {"Tab": ("Tab", 9, ""), "Enter": ("Enter", 13, "\r"), " ": ("Space", 32, " ")}
ARGUMENTS = (
    "--headless",
    "--no-sandbox",
    "--disable-gpu",
    "--disable-background-networking",
    "--disable-component-update",
    "--no-first-run",
    "--hide-scrollbars",
    "--remote-debugging-port=0",
    "about:blank",
)


def find_browser() -> str | None:
    return next((found for name in BROWSERS if (found := shutil.which(name))), None)


class Tab:
    """One page. `requests` are the addresses that it asked for, `complaints` what the browser
    wrote in its console."""

    def __init__(self, loop: asyncio.AbstractEventLoop, socket: Any) -> None:
        self._loop, self._socket = loop, socket
        self._numbers = itertools.count(1)
        self.requests: list[str] = []
        self.complaints: list[str] = []
        for domain in ("Page", "Runtime", "Network", "Log"):
            self.call(f"{domain}.enable")

    def call(self, method: str, **params: Any) -> dict[str, Any]:
        return self._loop.run_until_complete(
            asyncio.wait_for(self._call(method, params), timeout=30)
        )

    async def _call(self, method: str, params: dict[str, Any]) -> dict[str, Any]:
        number = next(self._numbers)
        await self._socket.send_json({"id": number, "method": method, "params": params})
        while True:
            made = await self._socket.receive_json()
            self._note(made)
            if made.get("id") == number:
                assert "error" not in made, made
                return dict(made["result"])

    def _note(self, made: dict[str, Any]) -> None:
        params = made.get("params", {})
        if made.get("method") == "Network.requestWillBeSent":
            self.requests.append(params["request"]["url"])
        elif made.get("method") == "Log.entryAdded":
            self.complaints.append(f"{params['entry']['text']} {params['entry'].get('url', '')}")
        elif made.get("method") == "Runtime.exceptionThrown":
            self.complaints.append(str(params))

    def run(self, script: str) -> Any:
        """The value of an expression, after a promise where it is one."""
        made = self.call(
            "Runtime.evaluate", expression=script, returnByValue=True, awaitPromise=True
        )
        assert "exceptionDetails" not in made, made
        return made["result"].get("value")

    def until(self, script: str, seconds: float = 15.0) -> None:
        """Wait until an expression is true."""
        deadline = time.monotonic() + seconds
        while time.monotonic() < deadline:
            with contextlib.suppress(AssertionError):
                if self.run(script):
                    return
            time.sleep(0.05)
        raise AssertionError(f"never true: {script}; {self.run('document.body.innerText')[:500]}")

    def open(self, url: str) -> None:
        """Go there, and wait until all is there."""
        self.call("Page.navigate", url=url)
        self.until(f"document.readyState == 'complete' && location.href == {url!r}")

    def press(self, key: str) -> None:
        code, number, text = KEYS[key]
        about = {"key": key, "code": code, "windowsVirtualKeyCode": number}
        written = {"text": text} if text else {}
        self.call("Input.dispatchKeyEvent", type="keyDown", **about, **written)
        self.call("Input.dispatchKeyEvent", type="keyUp", **about)

    def resize(self, width: int, height: int = 900) -> None:
        self.call(
            "Emulation.setDeviceMetricsOverride",
            width=width,
            height=height,
            deviceScaleFactor=1,
            mobile=False,
        )

    def colour(self, scheme: str) -> None:
        """light or dark."""
        features = [{"name": "prefers-color-scheme", "value": scheme}]
        self.call("Emulation.setEmulatedMedia", features=features)


@contextlib.contextmanager
def open_tab(folder: Path) -> Iterator[Tab]:
    """A browser with nothing in it, whose profile is this folder."""
    browser = find_browser()
    assert browser is not None
    process = subprocess.Popen(
        [browser, *ARGUMENTS[:-1], f"--user-data-dir={folder}", ARGUMENTS[-1]],
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
    )
    loop = asyncio.new_event_loop()
    try:
        port = _wait_for_port(folder / "DevToolsActivePort", process)
        session, socket = loop.run_until_complete(_connect(port))
        try:
            yield Tab(loop, socket)
        finally:
            with contextlib.suppress(Exception):
                loop.run_until_complete(socket.send_json({"id": 0, "method": "Browser.close"}))
            loop.run_until_complete(session.close())
    finally:
        try:
            process.wait(5)
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait()
        loop.close()


async def _connect(port: int) -> tuple[Any, Any]:
    session = aiohttp.ClientSession()
    async with session.get(f"http://127.0.0.1:{port}/json/list") as reply:
        pages = [one for one in await reply.json() if one["type"] == "page"]
    socket = await session.ws_connect(pages[0]["webSocketDebuggerUrl"], max_msg_size=0)
    return session, socket


def _wait_for_port(path: Path, process: subprocess.Popen[bytes]) -> int:
    deadline = time.monotonic() + 30
    while time.monotonic() < deadline and process.poll() is None:
        with contextlib.suppress(OSError, ValueError, IndexError):
            return int(path.read_text().splitlines()[0])
        time.sleep(0.05)
    raise AssertionError("the browser did not start")
