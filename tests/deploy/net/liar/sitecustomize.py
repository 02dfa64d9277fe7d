"""A hospital that has changed its own installed code: PRIVAUDIT_TEST_LIE says in which way. Nothing
of this is in the product; the hospital's own machine is the one place where it can be done."""

import importlib.abc
import importlib.util
import os
import sys
import time

TARGET = "pipelines.deploy.hospital"


def lie(answer, kind, body):
    import numpy as np

    what, _, since = os.environ["PRIVAUDIT_TEST_LIE"].partition("@")
    if kind == "hello" and "patients" in answer and what == "claim":
        return {**answer, "patients": 10**9, "records": 10**9}
    if kind != "train" or "update" not in answer or body.get("round", -1) < int(since or 0):
        return answer
    update = np.frombuffer(answer["update"], "<f4").copy()
    if what == "nan":
        update[3] = np.nan
    elif what == "shape":
        update = update[:-1]
    elif what == "large":
        update = update * 1e6
    elif what == "hang":
        time.sleep(10_000)
    elif what == "replay":
        return lie.__dict__.setdefault("kept", answer)
    return {**answer, "update": update.tobytes()}


class Loader(importlib.abc.Loader):
    def __init__(self, inner):
        self.inner = inner

    def create_module(self, spec):
        return self.inner.create_module(spec)

    def exec_module(self, module):
        self.inner.exec_module(module)
        honest = module.Hospital.answer

        def answer(self, kind, body):
            return lie(honest(self, kind, body), kind, body)

        module.Hospital.answer = answer


class Finder(importlib.abc.MetaPathFinder):
    def find_spec(self, name, path=None, target=None):
        if name != TARGET:
            return None
        sys.meta_path.remove(self)
        spec = importlib.util.find_spec(name)
        sys.meta_path.insert(0, self)
        if spec is not None:
            spec.loader = Loader(spec.loader)
        return spec


if os.environ.get("PRIVAUDIT_TEST_LIE"):
    sys.meta_path.insert(0, Finder())
