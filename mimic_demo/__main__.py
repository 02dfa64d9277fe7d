"""python -m mimic_demo --patients N --out DIR [--seed S]"""

from __future__ import annotations

import argparse
import sys
from pathlib import Path

from mimic_demo import EMBEDDED_PATIENTS, VERSION, write


def main(arguments: list[str] | None = None) -> int:
    parser = argparse.ArgumentParser(
        prog="python -m mimic_demo",
        description="Write MIMIC-III-shaped tables with no patients in them.",
    )
    parser.add_argument("--patients", type=int, default=EMBEDDED_PATIENTS)
    parser.add_argument("--out", type=Path, required=True, help="a new or empty folder")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--version", action="version", version=f"mimic_demo {VERSION}")
    args = parser.parse_args(arguments)
    shown = -1

    def progress(stage: str, share: float) -> None:
        nonlocal shown
        if int(share * 100) > shown:
            shown = int(share * 100)
            end = "\n" if share >= 1 else ""
            print(f"\r{stage} {shown:3d} %", end=end, file=sys.stderr, flush=True)

    try:
        write(args.out, args.patients, args.seed, progress)
    except (ValueError, OSError) as error:
        print(f"mimic_demo: {error}", file=sys.stderr)
        return 2
    return 0


if __name__ == "__main__":
    sys.exit(main())
