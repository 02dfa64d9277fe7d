"""NVFlare's own FedAvg recipe on the hospitals of `federation.py`, as processes on the loopback.

    python benchmarks/nvflare_peer.py FOLDER --rounds 20

FOLDER holds NAME.npz (x, y) of every hospital. Prints one line of JSON: seconds a round (between
the rounds of the slowest hospital), seconds in all, and where the last model is. Settings of
NVFlare are its own.
"""

from __future__ import annotations

import argparse
import json
import os
import sys
import time
from pathlib import Path

HERE = Path(__file__).parent


def main() -> int:
    parser = argparse.ArgumentParser(description=(__doc__ or "").split("\n", 1)[0])
    parser.add_argument("folder", type=Path)
    parser.add_argument("--rounds", type=int, default=20)
    parser.add_argument("--hidden", type=int, default=64)
    options = parser.parse_args()
    folder = options.folder.absolute()
    os.environ["HOME"] = str(folder / "home")
    os.environ["NVFLARE_POC_WORKSPACE"] = str(folder / "poc")
    os.environ["PATH"] = f"{Path(sys.executable).parent}:{os.environ['PATH']}"
    os.environ["PYTHONPATH"] = str(HERE)
    os.environ["OMP_NUM_THREADS"] = "1"
    (folder / "home").mkdir(exist_ok=True)
    import numpy as np
    from nvflare.app_opt.pt.recipes.fedavg import FedAvgRecipe
    from nvflare.recipe import PocEnv
    from nvflare_peer_client import Net

    names = sorted(path.stem for path in folder.glob("*.npz"))
    with np.load(folder / f"{names[0]}.npz", allow_pickle=False) as kept:
        width = kept["x"].shape[1]
    recipe = FedAvgRecipe(
        name="peer",
        model=Net(width, options.hidden),
        min_clients=len(names),
        num_rounds=options.rounds,
        train_script=str(HERE / "nvflare_peer_client.py"),
        train_args=f"--folder {folder}",
    )
    begin = time.time()
    here = PocEnv(clients=names, num_clients=len(names))
    run = recipe.execute(here)
    try:
        result = run.get_result(timeout=600)
        status = run.get_status()
    finally:
        here.stop()
    if "COMPLETED" not in str(status):
        raise SystemExit(f"the peer's job: {status}")
    times = {n: [float(t) for t in (folder / f"{n}.times").read_text().split()] for n in names}
    rounds = max(float(np.median(np.diff(found))) for found in times.values())
    print(
        json.dumps(
            {
                "status": str(status),
                "seconds_a_round": round(rounds, 3),
                "rounds": min(len(found) for found in times.values()),
                "seconds": round(time.time() - begin, 1),
                "first_round_after": round(min(map(min, times.values())) - begin, 1),
                "result": str(result),
            }
        )
    )
    return 0


if __name__ == "__main__":
    sys.exit(main())
