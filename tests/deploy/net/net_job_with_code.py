"""Submit a job that names a class of its own code: net_job_with_code.py HOME FOLDER CODE. Prints
why it did not run; nothing where it did. By the session that the product uses."""

from __future__ import annotations

import json
import sys
import time
from pathlib import Path

from pipelines.deploy.flare.session import OperatorSession
from pipelines.deploy.homes import CoordinatorHome
from privaudit.errors import PrivauditError


def main(home: Path, folder: Path, code: str) -> None:
    job = folder / "job"
    config, custom = job / "app" / "config", job / "app" / "custom"
    config.mkdir(parents=True)
    custom.mkdir()
    (custom / "own.py").write_text(
        f"{code}\nfrom nvflare.apis.executor import Executor\nclass Own(Executor):\n"
        "    def execute(self, name, shareable, context, abort):\n        return shareable\n"
    )
    meta = {"name": "own", "resource_spec": {}, "min_clients": 1, "deploy_map": {"app": ["@ALL"]}}
    (job / "meta.json").write_text(json.dumps(meta))
    server = {"format_version": 2, "workflows": [], "components": []}
    executor = {"tasks": ["*"], "executor": {"path": "own.Own", "args": {}}}
    client = {"format_version": 2, "executors": [executor], "components": []}
    (config / "config_fed_server.json").write_text(json.dumps(server))
    (config / "config_fed_client.json").write_text(json.dumps(client))
    with OperatorSession(CoordinatorHome(home)) as session:
        try:
            number = session.submit(job)
        except PrivauditError as error:
            print(error.what)
            return
        until = time.monotonic() + 40
        while time.monotonic() < until:
            state = session.state(number)
            if session.has_ended(number):
                print(state if "COMPLETED" not in state else "")
                return
            time.sleep(0.5)
        session.abort(number)
        print("never started")


if __name__ == "__main__":
    main(Path(sys.argv[1]), Path(sys.argv[2]), sys.argv[3])
