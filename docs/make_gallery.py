"""Run the demo, and write the gallery: docs/gallery/report.html and its picture, report.png.

    python docs/make_gallery.py [RUN]

RUN is a finished run to show instead. The picture needs Chromium; without it the old one is left as
it is.
"""

from __future__ import annotations

import io
import shutil
import subprocess
import sys
import tempfile
from pathlib import Path

from PIL import Image

GALLERY = Path(__file__).resolve().parent / "gallery"
COMMAND = (
    "run mortality --profile smoke --methods baseline,dp_sgd@3,synthetic --generators copula "
    "--policy policy.toml"
)
BROWSERS = ("chromium", "chromium-browser", "google-chrome")
WIDTH, HEIGHT = 1200, 1500
LARGEST = 300_000
"""Bytes that the picture may have."""


def main(arguments: list[str]) -> int:
    """Write both files; the exit code."""
    if arguments:
        shutil.copy(Path(arguments[0]) / "shareable" / "report.html", GALLERY / "report.html")
    else:
        with tempfile.TemporaryDirectory() as folder:
            run_demo(Path(folder))
    browser = next((found for name in BROWSERS if (found := shutil.which(name))), None)
    if browser is None:
        print("no Chromium: report.png is left as it is", file=sys.stderr)
    else:
        take_picture(browser)
    return 0


def run_demo(folder: Path) -> None:
    """The demo under a starter policy, in an empty folder; any verdict will do."""
    privaudit = [sys.executable, "-m", "privaudit"]
    subprocess.run([*privaudit, "init", "--release", "partner"], cwd=folder, check=True)
    done = subprocess.run([*privaudit, *COMMAND.split()], cwd=folder, check=False)
    if done.returncode not in (0, 1, 3):
        raise SystemExit(done.returncode)
    (run,) = (folder / "runs").glob("2*")
    shutil.copy(run / "shareable" / "report.html", GALLERY / "report.html")


def take_picture(browser: str) -> None:
    """The first screen as a PNG of at most `LARGEST` bytes, with as many colours as that allows."""
    with tempfile.TemporaryDirectory() as folder:
        raw = Path(folder) / "report.png"
        page = (GALLERY / "report.html").as_uri()
        command = [
            browser,
            "--headless",
            "--no-sandbox",
            "--disable-gpu",
            "--hide-scrollbars",
            f"--user-data-dir={folder}/profile",
            f"--window-size={WIDTH},{HEIGHT}",
            f"--screenshot={raw}",
            page,
        ]
        subprocess.run(command, check=True, timeout=120, stderr=subprocess.DEVNULL)
        picture = Image.open(raw).convert("RGB")
    for colours in (256, 64, 16):
        file = io.BytesIO()
        picture.quantize(colours).save(file, "PNG", optimize=True)
        if len(file.getvalue()) <= LARGEST:
            (GALLERY / "report.png").write_bytes(file.getvalue())
            return
    raise SystemExit(f"the picture has more than {LARGEST:,} bytes with 16 colours")


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
