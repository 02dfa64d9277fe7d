"""Where jobs run: in this process, in processes of this machine, or on a cluster."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from privaudit.engine.jobs import Bench, Done, Job
from privaudit.errors import PrivauditError

ATTEMPTS = 3
"""How often a cluster that loses workers is given what it did not finish, before the run stops."""

CHUNK = 4
"""Jobs a core that are given at once to a cluster that answers for all of them together."""


def spread(
    queue: Sequence[Job], bench: Bench, workers: int, temporary: str | None
) -> Iterator[Done]:
    """Every job's answer as it comes, from processes of one thread each."""
    if not queue:
        return
    from joblib.parallel import get_active_backend

    backend, cores = get_active_backend()
    name = type(backend).__name__
    if name not in ("LokyBackend", "SequentialBackend"):
        yield from _on_cluster(list(queue), bench, name, cores if cores and cores > 0 else workers)
    elif min(workers, len(queue)) == 1:
        for job in queue:
            yield job.run(bench)
    else:
        yield from _on_this_machine(queue, bench, workers, temporary)


def _on_this_machine(
    queue: Sequence[Job], bench: Bench, workers: int, temporary: str | None
) -> Iterator[Done]:
    """From processes of this machine."""
    from joblib import Parallel, delayed, parallel_config
    from joblib.externals.loky.process_executor import TerminatedWorkerError

    with parallel_config(
        backend="loky",
        n_jobs=min(workers, len(queue)),
        inner_max_num_threads=1,
        max_nbytes=None,
        temp_folder=temporary,
    ):
        parallel = Parallel(return_as="generator_unordered", batch_size=1)
        answers = parallel(delayed(Job.run)(job, bench) for job in queue)
    finished = False
    try:
        yield from answers
        finished = True
    except TerminatedWorkerError:
        raise PrivauditError(
            "a process at work was ended from outside",
            "systems do this to processes when memory runs out",
            "give fewer jobs or more memory, and start the same again; finished steps are stored",
        ) from None
    finally:
        if not finished:
            answers.close()
            from joblib.externals.loky import get_reusable_executor

            get_reusable_executor().shutdown(wait=False, kill_workers=True)


def _on_cluster(queue: list[Job], bench: Bench, name: str, cores: int) -> Iterator[Done]:
    """From a cluster. A job catches its own faults, so what is raised here is the cluster's:
    jobs without an answer are given to it again."""
    from joblib import Parallel, delayed

    streams = name == "DaskDistributedBackend"
    size = len(queue) if streams else CHUNK * cores
    left, failures = queue, 0
    while left:
        part = left[:size]
        answered: set[str] = set()
        try:
            how = "generator_unordered" if streams else "list"
            for done in Parallel(return_as=how, batch_size=1)(
                delayed(Job.run)(job, bench) for job in part
            ):
                answered.add(done.key)
                yield done
        except Exception as error:
            failures += 1
            if failures == ATTEMPTS:
                raise PrivauditError(
                    f"the cluster lost workers {failures} times ({type(error).__name__})",
                    "its jobs cannot be finished",
                    "see its own log, then give the same command again: finished steps are stored",
                ) from None
        left = [job for job in left if job.key not in answered]


__all__ = ["spread"]
