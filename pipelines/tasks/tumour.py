"""Which class is a picture of? Asked of BreastMNIST-style arrays, or of PNG and DICOM files."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from itertools import product
from pathlib import Path
from typing import ClassVar

import numpy as np

from pipelines.settings import Range, check_settings
from pipelines.tasks._picture_files import (
    LIST,
    Pictures,
    read_arrays,
    read_folder,
)
from privaudit.contracts import FlowStep, Prepared, Progress, Task
from privaudit.disclosure.marginals import OF_CLASS, WHOLE
from privaudit.disclosure.steps import count_down
from privaudit.disclosure_limits import MIN_CELL
from privaudit.errors import PrivauditError
from privaudit.facts import Caveat, CaveatCode, Reason, ReasonCode
from privaudit.records import Column, Records
from privaudit.stats.groups import name_rare_classes

DIGITS_SEED = 1998
COLOURS = ("red", "green", "blue")
DIGITS = (
    "Handwritten digits of scikit-learn, dealt to ten “specialist hospitals”: they show how an "
    "audit of pictures goes, and say nothing of any patient."
)
MODELS = (
    "The models are small networks for measuring privacy. No model of this run is meant to find, "
    "or to rule out, a disease."
)


@dataclass(frozen=True)
class Tumour(Task):
    """The class of a picture, from its pixels.

    Reads a .npz file of arrays as MedMNIST writes it (train, val and test are joined and split
    anew), or a folder of PNG and DICOM files with `labels.csv` (file, label, patient and, if any,
    site). Equal pictures are one person, whatever the files say. A .npz file names nobody: each
    picture then counts as a person, and unless somebody says that this is so, nothing is within a
    limit and no epsilon is claimed. Without data: the handwritten
    digits of scikit-learn as ten hospitals, each of which sees mostly one digit.

    Args:
        classes: What the labels 0, 1, ... mean, in this order; or the labels that the table holds,
            in the order in which they count.
        allow_large: Also read pictures of more than 4,096 pixels.
        each_a_person: Whether each picture of a .npz file is known to be of another person.
        skew: Of the digits: the share of each digit that goes to its own hospital.

    Source: Yang et al. 2023, MedMNIST v2, Scientific Data 10:41; digits: Alpaydin and Kaynak 1998,
    UCI Optical Recognition of Handwritten Digits.
    """

    classes: tuple[str, ...] = ()
    allow_large: bool = False
    each_a_person: bool = False
    skew: float = 0.8

    title: ClassVar[str] = "Class of a picture"
    positive: ClassVar[str] = "the last class"
    pictures: ClassVar[bool] = True

    def prepare(self, data: Path | None, cache: Path, progress: Progress) -> Prepared:
        """Records of pixels: see `privaudit.contracts.Task.prepare`."""
        check_settings(self, skew=Range(0, 1, high_open=False))
        if data is None:
            return self._records(make_digits(self.skew), real=False)
        if data.is_file():
            return self._records(read_arrays(data, self.allow_large), real=True)
        if not data.is_dir():
            raise PrivauditError(
                "pictures that are not there",
                "they are a .npz file, or a folder with labels.csv",
                "check the path for a typing error, or leave it out to use handwritten digits",
            )
        if (data / LIST).is_file():
            found = read_folder(
                data, self.allow_large, lambda share: progress("reading pictures", share)
            )
            return self._records(found, real=True)
        return self._records(read_arrays(_only_arrays(data), self.allow_large), real=True)

    def _records(self, found: Pictures, real: bool) -> Prepared:
        n, height, width, channels = found.pixels.shape
        y, names = self._code(found.label)
        person, merged = find_people(found)
        sites, site = np.unique(found.site, return_inverse=True)
        records = Records(
            columns=name_pixels(height, width, channels),
            X=found.pixels.reshape(n, -1),
            y=y,
            patient=person,
            site=site,
            classes=names,
            sites=tuple("all" if name == "" else str(name) for name in sites),
            image=(height, width, channels),
        )
        if real:
            records = name_rare_classes(records)
            names = records.classes
        people = len(np.unique(person))
        flow = [FlowStep("pictures", 0, n, people + merged)]
        if merged:
            flow.append(FlowStep("equal pictures counted as one person", 0, n, people))
        counts = {OF_CLASS.format(c): int((y == i).sum()) for i, c in enumerate(names)}
        caveats = []
        unknown = real and not self.each_a_person and bool((found.patient == "").all())
        if unknown:
            caveats.append(Caveat(CaveatCode.PEOPLE_NOT_NAMED, "warning"))
        if merged:
            caveats.append(_count_safely(merged))
        return Prepared(
            records=records,
            flow=tuple(flow),
            source=found.source,
            real=real,
            notes=(MODELS,) if real else (DIGITS, MODELS),
            facts={"picture_pixels": height * width, "picture_channels": channels, WHOLE: people}
            | counts,
            caveats=tuple(caveats),
            patients=_number_names(found.patient, person),
            unguaranteed=Reason(ReasonCode.PEOPLE_NOT_NAMED) if unknown else None,
        )

    def _code(self, label: np.ndarray) -> tuple[np.ndarray, tuple[str, ...]]:
        """(n,) class codes and the classes' names. What a label means is never guessed."""
        seen = np.unique(label)
        if len(seen) < 2:
            raise PrivauditError(
                f"pictures of {len(seen)} class(es)",
                "a model needs pictures of at least two classes to learn a difference",
                "hand in pictures of every class",
            )
        numbers = [str(code) for code in range(max(len(seen), len(self.classes)))]
        if set(seen) <= set(numbers):
            if self.classes and len(self.classes) != len(numbers):
                raise PrivauditError(
                    f"{len(self.classes)} names for {len(seen)} classes",
                    "every class has one name",
                    "name all classes with task.classes",
                )
            names = self.classes or tuple(f"class {code}" for code in numbers)
            return label.astype(np.int64), names
        if not self.classes or not set(seen) <= set(self.classes):
            raise PrivauditError(
                f"labels of {len(seen)} kinds, in an order that nobody stated",
                "the last class is the one that numbers are about, and labels that are no codes "
                "0, 1, ... do not say which that is",
                "name all labels in their order, for example --set task.classes=benign,malignant",
            )
        place = {name: code for code, name in enumerate(self.classes)}
        return np.array([place[one] for one in label.tolist()]), self.classes

    def check(self, data: Path) -> Mapping[str, str]:
        """What a folder holds, for `privaudit doctor`: nothing where it has no pictures."""
        arrays = sorted(data.glob("*.npz"))
        if not arrays and not (data / LIST).is_file():
            return {}
        what = f"pictures with {LIST}" if (data / LIST).is_file() else "arrays of pictures (.npz)"
        return {"source": what}


def find_people(found: Pictures) -> tuple[np.ndarray, int]:
    """(n,) whose each picture is, and how many people fewer that makes than the files say.

    Pictures of one patient, and equal pictures, are one person's: of two equal records one on
    either side of the split would be no non-member.
    """
    from scipy.sparse import coo_array
    from scipy.sparse.csgraph import connected_components

    n = len(found.pixels)
    alone = np.char.add("row ", np.arange(n).astype(str))
    named = np.where(found.patient == "", alone, np.char.add("name ", found.patient))
    _, patient = np.unique(named, return_inverse=True)
    rows = np.ascontiguousarray(found.pixels).reshape(n, -1)
    _, same = np.unique(rows, axis=0, return_inverse=True)
    people = int(patient.max(initial=-1)) + 1
    links = people + int(same.max(initial=-1)) + 1
    graph = coo_array((np.ones(n), (patient, people + same.ravel())), shape=(links, links))
    groups, member = connected_components(graph, directed=False)
    return member[patient].astype(np.int64), people - int(groups)


def name_pixels(height: int, width: int, channels: int) -> tuple[Column, ...]:
    """One column for each pixel and channel, row by row, channels last."""
    colours = [f" {name}" for name in COLOURS[:channels]] if channels > 1 else [""]
    return tuple(
        Column(f"pixel {r} {c}{name}", bounds=(0.0, 255.0), integer=True, statistic="pixel")
        for r, c, name in product(range(height), range(width), colours)
    )


def make_digits(skew: float) -> Pictures:
    """scikit-learn's 1,797 digits of 8 x 8 pixels, in 8 bits, as ten hospitals.

    Of each digit a share of `skew` goes to the hospital of that number, the rest to the others in
    equal shares, always the same ones.
    """
    from sklearn.datasets import load_digits

    data = load_digits()
    pixels = np.rint(data.images * (255 / 16)).astype(np.uint8)[..., None]
    rng = np.random.default_rng(DIGITS_SEED)
    own = rng.random(len(pixels)) < skew
    other = (data.target + rng.integers(1, 10, len(pixels))) % 10
    site = np.where(own, data.target, other)
    return Pictures(
        pixels,
        data.target.astype(str),
        np.full(len(pixels), ""),
        np.char.add("hospital ", site.astype(str)),
        "scikit-learn digits",
    )


def _count_safely(merged: int) -> Caveat:
    """How many people are fewer, without a count under ten and without its last digit."""
    if merged < MIN_CELL:
        return Caveat(CaveatCode.FEW_EQUAL_PICTURES, "note", {"least": MIN_CELL})
    return Caveat(CaveatCode.EQUAL_PICTURES, "note", {"merged": count_down(merged)})


def _only_arrays(folder: Path) -> Path:
    arrays: Sequence[Path] = sorted(folder.glob("*.npz"))
    if len(arrays) != 1:
        raise PrivauditError(
            f"a folder with {len(arrays)} .npz files and no {LIST}",
            "pictures are one .npz file, or a folder of PNG and DICOM files with that table",
            "give the file itself" if arrays else f"write {LIST}, or give another folder",
        )
    return arrays[0]


def _number_names(names: np.ndarray, person: np.ndarray) -> dict[str, int]:
    """Name of a patient -> their number, none where nobody is named."""
    pairs = zip(names.tolist(), person.tolist(), strict=True)
    return {name: number for name, number in pairs if name}


__all__ = ["Tumour"]
