"""Run the work of an audit on a Dask or Ray cluster that is running already, through joblib."""

from __future__ import annotations

import importlib
import logging
import re
import socket
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

from privaudit.errors import PrivauditError

PORTS = {"dask": 8786, "ray": 10001}
TRIES = 3


@contextmanager
def connect(address: str | None) -> Iterator[int | None]:
    """Send joblib's work to a cluster while the context is open.

    Its workers need the same version of privaudit installed, and must see the run directory
    under the same path.

    Args:
        address: `dask://HOST[:PORT]` or `ray://HOST[:PORT]`, None for this machine.

    Yields:
        How many cores its workers have, None where no address is given.

    Raises:
        PrivauditError: For a faulty address, a library that is not installed and a cluster that
            does not answer.
    """
    if address is None:
        yield None
        return
    found = re.fullmatch(r"(dask|ray)://([A-Za-z0-9_.\-\[\]]+?)(?::(\d{1,5}))?", address)
    if found is None:
        raise PrivauditError(
            f"a cluster at {address!r}",
            "an address reads dask://HOST, dask://HOST:PORT, ray://HOST or ray://HOST:PORT",
            "give the address of a running Dask scheduler or Ray head",
        )
    kind, host = found[1], found[2]
    port = int(found[3] or PORTS[kind])
    with (_dask if kind == "dask" else _ray)(host, port) as cores:
        yield cores


@contextmanager
def _dask(host: str, port: int) -> Iterator[int]:
    import joblib

    try:
        distributed: Any = importlib.import_module("distributed")
    except ImportError:
        raise _missing("distributed") from None
    try:
        client = distributed.Client(f"tcp://{host}:{port}", timeout=10, set_as_default=False)
    except (OSError, TimeoutError):
        raise _silent("dask", host, port) from None
    with client, joblib.parallel_config(backend="dask", client=client, wait_for_workers_timeout=20):
        cores = sum(client.ncores().values())
        if not cores:
            raise PrivauditError(
                f"a Dask scheduler at {host}:{port} without workers",
                "work goes to its workers",
                "start some: dask worker tcp://HOST:PORT --nthreads 1",
            )
        yield cores


@contextmanager
def _ray(host: str, port: int) -> Iterator[int]:
    import joblib

    try:
        ray: Any = importlib.import_module("ray")
        register_ray = importlib.import_module("ray.util.joblib").register_ray
    except ImportError:
        raise _missing("ray") from None
    try:
        socket.create_connection((host, port), timeout=10).close()
        # A head that listens may still be starting the server of its clients.
        for attempt in range(TRIES):
            try:
                ray.init(
                    address=f"ray://{host}:{port}", log_to_driver=False, logging_level=logging.ERROR
                )
                break
            except ConnectionError:
                if attempt == TRIES - 1:
                    raise
    except ImportError:
        raise _missing("ray[client]") from None
    except (OSError, RuntimeError, ValueError):
        raise _silent("ray", host, port) from None
    register_ray()
    try:
        cores = max(1, int(ray.cluster_resources().get("CPU", 1)))
        with joblib.parallel_config(backend="ray", n_jobs=cores):
            yield cores
    finally:
        ray.shutdown()


def _missing(library: str) -> PrivauditError:
    return PrivauditError(
        f"{library} is not installed",
        "privaudit connects to the cluster through it",
        "pip install 'privaudit[cluster]'",
    )


def _silent(kind: str, host: str, port: int) -> PrivauditError:
    return PrivauditError(
        f"no {kind} cluster answers at {host}:{port}",
        "only a cluster that is running can do the work",
        "check the address and that its head is running; without --cluster this machine works",
    )


__all__ = ["connect"]
