"""The pages in a real browser: keys, contrast, narrow screens, and pages of others."""

from __future__ import annotations

import http.server
import json
import os
import shutil
import subprocess
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest
from deploy import written as w

pytest.importorskip("aiohttp")

from deploy.browser import Tab, find_browser, open_tab

from pipelines.deploy.homes import HospitalHome
from pipelines.deploy.page import Server, serve_page
from pipelines.deploy.status import read_status

pytestmark = [
    pytest.mark.slow,
    pytest.mark.skipif(find_browser() is None, reason="no chromium is installed"),
]
AXE = Path(__file__).parents[1] / "report" / "axe" / "package.json"

CONTRAST = """
(() => {
  const parse = (text) => text.match(/[\\d.]+/g).map(Number);
  const light = ([r, g, b]) => [r, g, b].map((v) => v / 255)
    .map((v) => v <= .03928 ? v / 12.92 : ((v + .055) / 1.055) ** 2.4)
    .reduce((sum, v, i) => sum + v * [.2126, .7152, .0722][i], 0);
  const behind = (node) => {
    for (let at = node; at; at = at.parentElement) {
      const found = parse(getComputedStyle(at).backgroundColor);
      if (found.length < 4 || found[3] > 0) return found;
    }
    return [255, 255, 255];
  };
  const bad = [];
  for (const node of document.querySelectorAll('body *')) {
    const own = [...node.childNodes].some((n) => n.nodeType == 3 && n.data.trim());
    const folded = node.closest('details:not([open])') && !node.closest('summary');
    if (!own || folded || node.tagName == 'title') continue;
    const style = getComputedStyle(node);
    const inked = parse(node.closest('svg') ? style.fill : style.color);
    const [a, b] = [light(inked), light(behind(node))];
    const ratio = (Math.max(a, b) + .05) / (Math.min(a, b) + .05);
    if (ratio < 4.5) bad.push([node.tagName, node.textContent.slice(0, 30), ratio]);
  }
  return bad;
})()
"""


@pytest.fixture(scope="module")
def tab(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Tab]:
    with open_tab(tmp_path_factory.mktemp("profile")) as made:
        yield made


@pytest.fixture
def hospital(tmp_path: Path) -> Iterator[Server]:
    home = w.make_hospital(tmp_path / "h")
    home.run("first").mkdir(parents=True)
    (home.run("first") / "audit.json").write_text(json.dumps({**w.AUDIT, "verdict": "leaks"}))
    w.write_lines(home.outbox, [w.left(5, "train", 1, 5, run="third")])
    w.write_lines(home.journal, [w.event(30, "alarm", hospital="east", what="disk")])
    with serve_page(home, withdraw=w.withdraw) as server:
        yield server


@pytest.fixture
def coordinator(tmp_path: Path) -> Iterator[Server]:
    events = [*w.list_events(), w.event(150, "alarm", hospital="north", what="second_login")]
    with serve_page(w.make_coordinator(tmp_path / "c", events)) as server:
        yield server


def has_withdrawn(server: Server) -> bool:
    assert isinstance(server.home, HospitalHome)
    return next(r for r in read_status(server.home).runs if r.run == "first").state == "withdrawn"


def list_stops(tab: Tab, most: int = 40) -> list[str]:
    """What the Tab key leads to, each with a visible outline, until it leaves the page."""
    found: list[str] = []
    for _ in range(most):
        tab.press("Tab")
        if tab.run("document.activeElement == document.body"):
            break
        outline = tab.run(
            "(s => [s.outlineStyle, parseFloat(s.outlineWidth)])"
            "(getComputedStyle(document.activeElement))"
        )
        assert outline[0] == "solid", found
        assert outline[1] >= 2, found
        inside = tab.run(
            "(r => r.left >= 0 && r.top >= 0 && r.top < innerHeight && r.width > 0)"
            "(document.activeElement.getBoundingClientRect())"
        )
        assert inside, tab.run("document.activeElement.outerHTML")[:200]
        found.append(tab.run("document.activeElement.textContent.trim().slice(0, 40)"))
    return found


def test_a_consent_is_withdrawn_by_keys_alone(tab: Tab, hospital: Server) -> None:
    tab.resize(1200)
    tab.open(hospital.url)
    stops = list_stops(tab)
    assert stops[0] == "Skip to the content"
    assert stops[1] == "Read again"
    assert stops.count("Withdraw consent …") == 1
    tab.open(hospital.url)
    for _ in range(stops.index("Withdraw consent …") + 1):
        tab.press("Tab")
    tab.press("Enter")
    tab.until(f"location.href == '{hospital.url}withdraw/first' && document.querySelector('form')")
    assert not has_withdrawn(hospital)
    tab.press("Tab")
    tab.press("Tab")
    assert tab.run("document.activeElement.textContent") == "Withdraw consent now"
    tab.press("Enter")
    tab.until(f"location.href == '{hospital.url}?done=first'")
    assert has_withdrawn(hospital)
    assert "The consent is withdrawn" in tab.run("document.body.innerText")
    # Read again, no form is sent again.
    tab.call("Page.reload")
    tab.until("document.body.innerText.includes('The consent is withdrawn')")


def test_the_link_to_keep_it_keeps_it(tab: Tab, hospital: Server) -> None:
    tab.open(hospital.url + "withdraw/first")
    for _ in range(3):
        tab.press("Tab")
    assert tab.run("document.activeElement.textContent") == "Keep the consent"
    tab.press("Enter")
    tab.until(f"location.href == '{hospital.url}'")
    assert not has_withdrawn(hospital)


def test_the_skip_link_leads_to_the_content(tab: Tab, coordinator: Server) -> None:
    tab.open(coordinator.url)
    tab.press("Tab")
    tab.press("Enter")
    tab.until("location.hash == '#main'")


def test_the_page_loads_nothing_and_the_browser_has_no_complaint(
    tab: Tab, hospital: Server, coordinator: Server
) -> None:
    for server, path in ((hospital, ""), (hospital, "withdraw/first"), (coordinator, "")):
        tab.requests.clear()
        tab.complaints.clear()
        tab.open(server.url + path)
        assert tab.run("getComputedStyle(document.body).maxWidth") == "1200px", "no style"
        asked = [url for url in tab.requests if not url.startswith("data:")]
        assert asked == [server.url + path]
        assert tab.complaints == []
        assert tab.run("document.scripts.length") == 0


def test_it_is_read_again_where_asked_until_paused(tab: Tab, hospital: Server) -> None:
    tab.open(hospital.url + "?refresh=10")
    assert isinstance(hospital.home, HospitalHome)
    w.write_lines(hospital.home.outbox, [w.left(40, "masked", 3, 1_000_000)])
    tab.until("document.body.innerText.includes('1.21 MB')", 20)
    tab.run("[...document.links].find(a => a.textContent == 'Pause').click()")
    tab.until(f"location.href == '{hospital.url}'")
    assert tab.run("document.querySelector('meta[http-equiv]')") is None


@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_contrast_and_narrow_screens(
    tab: Tab, hospital: Server, coordinator: Server, scheme: str
) -> None:
    tab.colour(scheme)
    pages = [coordinator.url, hospital.url, hospital.url + "withdraw/first", hospital.url + "none"]
    for url in pages:
        for width in (1280, 400, 320):
            tab.resize(width)
            tab.open(url)
            tab.run("document.querySelectorAll('details').forEach(d => d.open = true)")
            where = f"{url.removeprefix('http://')[40:]} {scheme} {width}"
            assert tab.run("document.documentElement.scrollWidth - innerWidth") <= 0, where
            assert tab.run(CONTRAST) == [], where
            dark = tab.run("getComputedStyle(document.body).backgroundColor") == "rgb(22, 24, 28)"
            assert dark == (scheme == "dark")
    tab.colour("light")


def test_the_contrast_check_finds_what_it_looks_for(tab: Tab, hospital: Server) -> None:
    tab.colour("light")
    tab.open(hospital.url)
    tab.run("document.querySelector('h1').style.color = '#999'")
    assert [one[0] for one in tab.run(CONTRAST)] == ["H1"]


@contextmanager
def serve_text(page: str) -> Iterator[str]:
    """A page of somebody else on this computer, at another port."""

    class Handler(http.server.BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            self.send_response(200)
            self.send_header("Content-Type", "text/html")
            self.end_headers()
            self.wfile.write(page.encode())

        def log_message(self, *_: object) -> None:
            return

    server = http.server.HTTPServer(("127.0.0.1", 0), Handler)
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.05})
    thread.start()
    try:
        yield f"http://127.0.0.1:{server.server_address[1]}/"
    finally:
        server.shutdown()
        server.server_close()
        thread.join()


def test_a_page_of_others_can_do_nothing_even_with_all_secrets(tab: Tab, hospital: Server) -> None:
    tab.open(hospital.url + "withdraw/first")
    token = tab.run("document.querySelector('[name=csrf]').value")
    form = (
        f'<body><form method="post" action="{hospital.url}withdraw/first">'
        f'<input name="csrf" value="{token}"></form><iframe src="{hospital.url}"></iframe>'
    )
    with serve_text(form) as url:
        tab.open(url)
        read = tab.run(f"fetch('{hospital.url}').then(r => r.text(), () => 'refused')")
        assert read == "refused"
        (frame,) = tab.call("Page.getFrameTree")["frameTree"]["childFrames"]
        assert frame["frame"]["unreachableUrl"] == hospital.url
        sent = tab.run(
            f"fetch('{hospital.url}withdraw/first', {{method: 'POST', mode: 'no-cors',"
            f" headers: {{'Content-Type': 'application/x-www-form-urlencoded'}},"
            f" body: 'csrf={token}'}}).then(r => r.type, () => 'refused')"
        )
        assert sent in ("opaque", "refused")
        assert not has_withdrawn(hospital)
        tab.run("document.forms[0].submit()")
        tab.until("document.body.innerText.includes('This request was refused')")
    assert not has_withdrawn(hospital)


@pytest.fixture(scope="module")
def axe(tmp_path_factory: pytest.TempPathFactory) -> str:
    """axe-core's script: from PRIVAUDIT_AXE, else fetched."""
    given = os.environ.get("PRIVAUDIT_AXE")
    folder = Path(given) if given else tmp_path_factory.mktemp("axe")
    if not given:
        if shutil.which("npm") is None:
            pytest.skip("npm is not installed")
        shutil.copy(AXE, folder)
        done = subprocess.run(
            ["npm", "install", "--no-audit", "--no-fund", "--ignore-scripts"],
            cwd=folder,
            capture_output=True,
            timeout=180,
            check=False,
        )
        if done.returncode:
            pytest.skip("npm could not fetch axe-core")
    return (folder / "node_modules" / "axe-core" / "axe.min.js").read_text("utf-8")


def test_axe_finds_nothing(tab: Tab, hospital: Server, coordinator: Server, axe: str) -> None:
    pages = [coordinator.url, hospital.url, hospital.url + "withdraw/first", hospital.url + "none"]
    for scheme in ("light", "dark"):
        tab.colour(scheme)
        for url in pages:
            for width in (1280, 320):
                tab.resize(width)
                tab.open(url)
                tab.run(axe + "; 0")
                found = tab.run(
                    "axe.run(document, {resultTypes: ['violations']}).then(r => ["
                    "r.violations.map(v => [v.id, v.nodes[0].html.slice(0, 200)]), "
                    "r.passes.length])"
                )
                assert found[0] == [], (url, scheme, width)
                assert found[1] > 12
    tab.colour("light")
    tab.run("document.documentElement.removeAttribute('lang')")
    worse = tab.run("axe.run(document).then(r => r.violations.map(v => v.id))")
    assert worse == ["html-has-lang"]
