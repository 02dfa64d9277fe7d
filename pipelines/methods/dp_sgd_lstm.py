"""Recurrent network on the hourly series, trained with differential privacy (DP-SGD, Opacus)."""

from __future__ import annotations

import time
from dataclasses import dataclass

import numpy as np

from pipelines._bounded import NoisySteps, describe_noise
from pipelines.federated.recurrent import Bins, Hours, check_bounds
from pipelines.settings import COUNT, check_settings
from privaudit.contracts import Release
from privaudit.dp import accounting
from privaudit.dp.noise import bind_noise
from privaudit.errors import PrivauditError
from privaudit.records import Records


@dataclass(frozen=True)
class DPSGDLSTM(NoisySteps):
    """Read every stay hour by hour, learn through clipped gradients and noise, and guarantee an
    epsilon.

    Opacus' DPLSTM and GradSampleModule keep each stay's gradient apart; a patient's are summed,
    then clipped. Nothing else is read off the data: each channel's last value, whether it was
    measured and the hours since are encoded by public knowledge, as are the columns that summarise
    no variable, and there is no early stopping. A fixed network, so no `learner` to compose with.
    costs: `train_seconds` are CPU seconds.

    Args:
        units: Size of the recurrent state.
        pool: Hours averaged into one step of the recurrence.
        epsilon: The guarantee for one patient added or removed, with all stays.
        delta: None for the largest power of ten at most 1/(10 x patients), and never above
            1/patients.
        clip: The most that one patient's summed gradient may count (L2).
        rate: Adam's learning rate.
        sampling: Each patient's chance of taking part in a step, drawn independently (Poisson
            sampling).
        steps: Noisy steps.

    Source: Abadi et al. 2016 (arXiv 1607.00133), algorithm 1; per-patient clipping as in McMahan et
    al. 2018 (arXiv 1710.06963), also of an LSTM; Yousefpour et al. 2021 (arXiv 2109.12298), Opacus.
    """

    units: int = 8
    pool: int = 6
    epsilon: float = 3.0
    delta: float | None = None
    clip: float = 1.0
    rate: float = 0.02
    sampling: float = 0.2
    steps: int = 80

    def fit(self, members: Records, rng: np.random.Generator) -> Release:
        start = time.process_time()
        self.check()
        rng = bind_noise(rng, self, members.fingerprint)
        _need_opacus()
        reader = self._reader(members)
        claim = self.claim(members, accounting.name_noise(rng))

        from pipelines.methods._dp_recurrent import train
        from pipelines.methods._dp_training import Plan

        noise = self._noise(claim.mechanisms[0].scale)
        plan = Plan(self.clip, self.rate, self.sampling, self.steps, (noise,))
        model = train(reader, members, self.units, rng, plan)
        return Release(
            claim=claim,
            model=model,
            costs={
                "train_seconds": time.process_time() - start,
                "noisy_steps": float(self.steps),
            },
            notes=(*self.notes, describe_noise(rng)),
        )

    def _reader(self, members: Records) -> Bins:
        # Its refusal of records without a series names learners, which are of no use here.
        if members.series is None or members.series.shape[1] == 0:
            raise PrivauditError(
                "records without an hourly series",
                "dp_sgd_lstm reads hourly values: (rows, hours, channels)",
                "use a task that delivers series, or dp_sgd, which reads the summary columns",
            )
        check_bounds(members, "dp_sgd_lstm")
        return Bins(Hours.of(members), self.pool)

    def check(self) -> None:
        _need_opacus()
        super().check()
        check_settings(self, units=COUNT, pool=COUNT)


def _need_opacus() -> None:
    try:
        import opacus  # noqa: F401
    except ModuleNotFoundError as error:
        raise PrivauditError(
            "the package opacus is not installed",
            "the recurrent network's per-patient gradients are its",
            "pip install 'privaudit[dp]'",
        ) from error


__all__ = ["DPSGDLSTM"]
