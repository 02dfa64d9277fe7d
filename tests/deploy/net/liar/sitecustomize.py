"""A hospital that has changed its own installed code: PRIVAUDIT_TEST_LIE says in which way. Nothing
of this is in the product; the hospital's own machine is the one place where it can be done."""

import importlib.abc
import importlib.util
import os
import sys

TARGET = "pipelines.deploy.hospital"


def lie(answer, kind, body):
    """Lies as `how:round` says, each in one round; from a replay on, in all."""
    import numpy as np

    told = dict(part.split(":") for part in os.environ["PRIVAUDIT_TEST_LIE"].split(","))
    if kind == "hello" and "patients" in answer and "claim" in told:
        return {**answer, "patients": 10**9, "records": 10**9}
    if kind != "train" or "update" not in answer:
        return answer
    number = body.get("round", -1)
    what = next((how for how, at in told.items() if at == str(number) and how != "claim"), "")
    if number >= int(told.get("replay", 10**9)):
        return KEPT.setdefault("answer", answer)
    update = np.frombuffer(answer["update"], "<f4").copy()
    if what == "nan":
        update[3] = np.nan
    elif what == "shape":
        update = update[:-1]
    elif what == "large":
        update = update * 1e6
    return {**answer, "update": update.tobytes()}


KEPT = {}


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
