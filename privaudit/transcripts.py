"""What is seen of a training run: by the server of a federation, of a split model, of encrypted
sums."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from itertools import pairwise
from typing import TYPE_CHECKING

import numpy as np

from privaudit.records import Records

if TYPE_CHECKING:
    from privaudit.convolutions import Convolution, Image


@dataclass(frozen=True, eq=False)
class Exchange:
    """Federated training of a ReLU network, as the server saw it, round by round.

    weights: per round (p,), what it sent out; updates: per round (clients, p), each client's new
    weights minus those sent out, as far as the server can read them: masked or encrypted ones are
    what they look like to it. clients: (clients,) site codes; counts: (clients,) records claimed.
    widths: layer widths, input to output; parameters lie layer by layer, W (out, in) row by row,
    then b (out,). image, convolutions: of a network of pictures, whose convolutions come before
    those layers, also among the parameters, with W (out, in, kernel, kernel); widths then begin
    with what they make. lstm: (steps, features, fixed, units) of a network that reads series, whose
    recurrent layer comes before those layers, also among the parameters: W (4 units, features),
    b (4 units,), W (4 units, units); it makes 2 units + fixed numbers of steps x features and fixed
    ones. encode: Records -> (n, inputs), the public encoding that clients use. rate,
    steps, batch: the clients' local training. protected: "", "secure_sum" or "encrypted_sum".
    holder: (members,), which row of an update each member record was behind, -1 for none: the
    auditor's answer sheet, never the server's; None where `Records.site` tells it.
    """

    weights: tuple[np.ndarray, ...]
    updates: tuple[np.ndarray, ...]
    clients: np.ndarray
    counts: np.ndarray
    widths: tuple[int, ...]
    encode: Callable[[Records], np.ndarray]
    rate: float
    steps: int
    batch: int
    protected: str = ""
    holder: np.ndarray | None = None
    image: Image | None = None
    convolutions: tuple[Convolution, ...] = ()
    lstm: tuple[int, int, int, int] | None = None

    def __post_init__(self) -> None:
        # An attack that took the parameters apart otherwise than they lie would find no leak.
        size = sum(a * b + b for a, b in pairwise(self.widths))
        channels = 0 if self.image is None else self.image[2]
        for layer in self.convolutions:
            size += layer.out * channels * layer.kernel**2 + layer.out
            channels = layer.out
        if self.lstm is not None:
            _, features, _, units = self.lstm
            size += 4 * units * (features + 1 + units)
        wrong = [np.shape(v) for v in self.weights if np.shape(v) != (size,)]
        if wrong:
            raise ValueError(f"weights of shape {wrong[0]}, and a network of {size} parameters")


@dataclass(frozen=True, eq=False)
class CutTraffic:
    """What crosses the cut of a split model, as the server sees it.

    smashed: (m, w), activations sent up; gradients: (m, w), gradients sent back for them; labels:
    (m,) where the server was sent the outcomes, else None (U-shaped). batch: (m,), which step each
    belongs to; epoch: (m,). row: (m,), the member record behind each: the auditor's answer sheet,
    never the server's. returned: (m, v), where the last layer stays at the sites (U-shaped), the
    gradients that they send up for its inputs. ask: the trained layers below the cut, records ->
    (n, w), for a server that holds them too (a stronger one).
    """

    smashed: np.ndarray
    gradients: np.ndarray
    labels: np.ndarray | None
    batch: np.ndarray
    epoch: np.ndarray
    row: np.ndarray
    returned: np.ndarray | None = None
    ask: Callable[[Records], np.ndarray] | None = None


@dataclass(frozen=True, eq=False)
class CipherTranscript:
    """Sums of updates under CKKS encryption, of the first two rounds, as the server keeps them.

    Arithmetic is in Z_q[X] / (X^N + 1), q = modulus. sums: (m, 2, N) uint64, the coefficients of m
    summed ciphertexts (c0, c1); published: (m, N / 2), what came back to the server for each. The
    auditor's answer sheet, never the server's: exact: (m, N / 2), what clients decrypted, before it
    was made fit to publish; update: (clients, m, N / 2), what each client encrypted, NaN for
    padding; secret: (N,) int8, the secret key that all clients share. single: (clients, m, 2, N)
    uint64, each client's own ciphertexts, which the server holds.
    """

    sums: np.ndarray
    published: np.ndarray
    exact: np.ndarray
    single: np.ndarray
    update: np.ndarray
    secret: np.ndarray
    modulus: int
    scale: float


__all__ = ["CipherTranscript", "CutTraffic", "Exchange"]
