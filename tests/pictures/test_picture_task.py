"""The task of pictures: what is read, what is refused, who is one person."""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import replace
from datetime import date
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from pictures_lab import REAL, draw

from pipelines.tasks import _picture_files as files
from pipelines.tasks.tumour import Tumour
from privaudit import cli
from privaudit.contracts import Prepared
from privaudit.errors import PrivauditError
from privaudit.facts import Caveat, CaveatCode, ReasonCode
from privaudit.policy import judge
from privaudit.policy.file import parse
from privaudit.policy.starters import starter
from privaudit.results import from_json

SECRET = "Canary-Patient"
GOLDEN = Path(__file__).parents[1] / "lanes" / "golden" / "audit.json"


def quiet(what: str, share: float) -> None:
    """Progress that nobody watches."""


def read(data: Path | None, **settings: Any) -> Prepared:
    return Tumour(**settings).prepare(data, Path("unused"), quiet)


def save(path: Path, x: np.ndarray, y: np.ndarray, **others: np.ndarray) -> Path:
    a, b = len(x) // 2, 3 * len(x) // 4
    parts = {
        f"{name}_{kind}": values[low:high]
        for name, low, high in (("train", 0, a), ("val", a, b), ("test", b, len(x)))
        for kind, values in (("images", x), ("labels", y[:, None]))
    }
    np.savez(path, **(parts | others))
    return path


def test_arrays_are_joined_with_every_pixel_in_its_place(tmp_path: Path) -> None:
    x, y = draw(40, 1, side=6, channels=3)
    found = read(save(tmp_path / "a.npz", x, y))
    records = found.records
    assert records.image == (6, 6, 3)
    assert np.array_equal(records.X.reshape(x.shape), x)
    assert np.array_equal(records.y, y)
    assert records.classes == ("class 0", "class 1")
    assert records.columns[20].name == "pixel 1 0 blue"
    assert all(c.bounds == (0.0, 255.0) and c.integer for c in records.columns)
    assert found.real
    assert not found.patients
    assert read(save(tmp_path / "a.npz", x, y), classes=("a", "b")).records.classes == ("a", "b")


@pytest.mark.parametrize("copies", [3, 12])
def test_equal_pictures_are_one_person_and_counted_safely(tmp_path: Path, copies: int) -> None:
    x, y = draw(60, 2)
    x[-copies:] = x[:copies]
    found = read(save(tmp_path / "a.npz", x, y), each_a_person=True)
    patient = found.records.patient
    assert np.array_equal(patient[-copies:], patient[:copies])
    assert len(np.unique(patient)) == 60 - copies
    assert [step.patients for step in found.flow] == [60, 60 - copies]
    (caveat,) = found.caveats
    if copies < 10:
        assert caveat.code is CaveatCode.FEW_EQUAL_PICTURES
        assert caveat.params == {"least": 10}
    else:
        assert (caveat.code, caveat.params) == (CaveatCode.EQUAL_PICTURES, {"merged": 10})


def test_a_file_that_names_nobody_promises_nothing_unless_somebody_answers_for_it(
    tmp_path: Path,
) -> None:
    """Ten pictures of each person, dealt to both sides: a leak would look smaller than it is."""
    x, y = draw(60, 2)
    found = read(save(tmp_path / "a.npz", x, y))
    assert [caveat.code for caveat in found.caveats] == [CaveatCode.PEOPLE_NOT_NAMED]
    assert found.unguaranteed is not None
    assert found.unguaranteed.code is ReasonCode.PEOPLE_NOT_NAMED
    said = read(tmp_path / "a.npz", each_a_person=True)
    assert not said.caveats
    assert said.unguaranteed is None
    assert not read(None).caveats


def test_nothing_is_within_a_limit_where_nobody_is_named() -> None:
    audit = from_json(GOLDEN.read_text(encoding="utf-8"))
    day = date(2027, 1, 1)
    policy = parse(starter("internal", day).encode())
    before = judge(policy, audit, today=day).verdicts
    caveats = (*audit.caveats, Caveat(CaveatCode.PEOPLE_NOT_NAMED))
    after = judge(policy, replace(audit, caveats=caveats), today=day).verdicts
    about = [v.metric.partition(".")[0] not in ("utility", "evasion", "poisoning") for v in before]
    assert any(v.state == "WITHIN" for v, one in zip(before, about, strict=True) if one)
    for one, was in zip(after, before, strict=True):
        if one.metric.startswith(("membership.", "attribute.", "inversion.", "reconstruction.")):
            assert one.state != "WITHIN"
        elif one.metric.startswith("utility."):
            assert one == was


def test_a_class_that_a_few_people_have_is_called_by_its_number(tmp_path: Path) -> None:
    x, y = draw(80, 3)
    y = y.copy()
    y[:4] = 2
    found = read(save(tmp_path / "a.npz", x, y), classes=("benign", "malignant", SECRET))
    assert found.records.classes == ("benign", "malignant", "class 2")
    assert SECRET not in str(found.facts)


BAD: dict[str, Callable[[np.ndarray, np.ndarray, Path], Path]] = {
    "floats": lambda x, y, p: save(p, x / 255.0, y),
    "two labels": lambda x, y, p: save(p, x, np.stack([y, y], axis=1)),
    "an extra array": lambda x, y, p: save(p, x, y, val_masks=x, train_images=x[:3]),
    "objects": lambda x, y, p: save(p, x, np.array([{1} for _ in y], dtype=object)),
    "one class": lambda x, y, p: save(p, x, np.zeros_like(y)),
    "skipped codes": lambda x, y, p: save(p, x, y * 2),
}


@pytest.mark.parametrize("fault", BAD)
def test_other_arrays_are_refused(tmp_path: Path, fault: str) -> None:
    x, y = draw(24, 3)
    path = BAD[fault](x, y, tmp_path / f"{SECRET}.npz")
    with pytest.raises(PrivauditError) as caught:
        read(path)
    assert SECRET not in str(caught.value)


def test_a_damaged_file_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "a.npz"
    path.write_bytes(b"PK\x03\x04 no archive")
    with pytest.raises(PrivauditError, match="cannot be read"):
        read(path)


def test_large_pictures_need_a_yes(tmp_path: Path) -> None:
    x, y = draw(24, 4, side=65)
    path = save(tmp_path / "a.npz", x, y)
    with pytest.raises(PrivauditError, match="65 x 65"):
        read(path)
    assert read(path, allow_large=True).records.image == (65, 65, 1)


def test_digits_are_ten_specialist_hospitals_and_always_the_same() -> None:
    found, again = read(None), read(None)
    records = found.records
    assert found.records.fingerprint == again.records.fingerprint
    assert not found.real
    assert records.image == (8, 8, 1)
    assert len(records.sites) == len(records.classes) == 10
    for digit in range(10):
        own = records.site[records.y == digit]
        assert abs(np.mean(own == digit) - 0.8) < 0.08
        assert len(np.unique(own)) >= 8
    assert records.X.max() == 255
    alone = read(None, skew=1.0).records
    assert np.array_equal(alone.site, alone.y)


# --- a folder of pictures ---------------------------------------------------------------------


def write_png(path: Path, x: np.ndarray) -> None:
    image = pytest.importorskip("PIL.Image")
    image.fromarray(x[..., 0] if x.shape[-1] == 1 else x).save(path)


def write_dicom(path: Path, stored: np.ndarray, **tags: Any) -> None:
    pydicom = pytest.importorskip("pydicom")
    meta = pydicom.dataset.FileMetaDataset()
    meta.MediaStorageSOPClassUID = pydicom.uid.SecondaryCaptureImageStorage
    meta.MediaStorageSOPInstanceUID = "1.2.3"
    meta.TransferSyntaxUID = pydicom.uid.ExplicitVRLittleEndian
    data = pydicom.dataset.FileDataset(str(path), {}, file_meta=meta, preamble=b"\0" * 128)
    data.PatientName, data.PatientID = SECRET, SECRET
    data.Rows, data.Columns = stored.shape
    data.SamplesPerPixel, data.PhotometricInterpretation = 1, "MONOCHROME2"
    data.BitsAllocated, data.BitsStored, data.HighBit = 16, 12, 11
    data.PixelRepresentation = int(stored.dtype.kind == "i")
    data.PixelData = stored.tobytes()
    for name, value in tags.items():
        setattr(data, name, value)
    data.save_as(path, enforce_file_format=True)


def write_list(
    folder: Path, rows: list[tuple[str, ...]], head: str = "file,label,patient,site"
) -> None:
    text = "\n".join([head, *(",".join(row) for row in rows)])
    (folder / "labels.csv").write_text(text + "\n", encoding="utf-8")


def fill(folder: Path, n: int = 12) -> list[tuple[str, ...]]:
    x, y = draw(n, 5)
    rows = []
    for i in range(n):
        write_png(folder / f"{SECRET}{i}.png", x[i])
        label = ("benign", "malignant")[y[i]]
        rows.append((f"{SECRET}{i}.png", label, f"{SECRET} {i // 2}", f"ward {i % 2}"))
    return rows


def test_a_folder_of_png_files(tmp_path: Path) -> None:
    rows = fill(tmp_path)
    write_list(tmp_path, rows)
    found = read(tmp_path, classes=("benign", "malignant"))
    x, y = draw(12, 5)
    assert np.array_equal(found.records.X, x.reshape(12, -1))
    assert np.array_equal(found.records.y, y)
    assert len(np.unique(found.records.patient)) == 6
    assert found.records.sites == ("ward 0", "ward 1")
    assert found.patients is not None
    assert found.patients[f"{SECRET} 0"] == found.records.patient[1]
    with pytest.raises(PrivauditError, match="in an order that nobody stated"):
        read(tmp_path)


def test_files_that_are_no_pictures_are_counted_and_never_named(tmp_path: Path) -> None:
    rows = fill(tmp_path)
    (tmp_path / rows[0][0]).write_text("no picture")
    (tmp_path / rows[1][0]).write_bytes((tmp_path / rows[2][0]).read_bytes()[:60])
    rows[3] = ("../outside.png", *rows[3][1:])
    write_list(tmp_path, rows)
    with pytest.raises(PrivauditError) as caught:
        read(tmp_path, classes=("benign", "malignant"))
    message = str(caught.value)
    assert "3 of 12" in message
    for why in ("1 are neither PNG nor DICOM", "1 are damaged", "1 are not in the folder"):
        assert why in message
    assert SECRET not in message
    assert "outside" not in message


@pytest.mark.parametrize("head", ["file,label", "file,label,patient,patient", "path,label,patient"])
def test_a_list_of_other_columns_is_refused(tmp_path: Path, head: str) -> None:
    write_list(tmp_path, [tuple(SECRET for _ in head.split(","))], head)
    with pytest.raises(PrivauditError) as caught:
        read(tmp_path)
    assert SECRET not in str(caught.value)


def test_an_empty_cell_is_refused(tmp_path: Path) -> None:
    rows = fill(tmp_path)
    rows[4] = (*rows[4][:2], "", rows[4][3])
    write_list(tmp_path, rows)
    with pytest.raises(PrivauditError, match="1 empty cells"):
        read(tmp_path)


STORED = np.array([[0, 500, 1000, 1500], [2000, 2500, 3000, 3500]] * 2, dtype=np.uint16)


def shown(path: Path, **tags: Any) -> np.ndarray:
    write_dicom(path, tags.pop("stored", STORED), **tags)
    return files._read_picture(path, False)[..., 0].astype(float)


def test_dicom_follows_slope_window_and_polarity(tmp_path: Path) -> None:
    path = tmp_path / "a.dcm"
    plain = shown(path)
    assert np.array_equal(plain, np.rint(STORED / 4095 * 255))
    assert np.array_equal(shown(path, PhotometricInterpretation="MONOCHROME1"), 255 - plain)
    # A slope and an intercept stretch the range with the values: the picture is the same.
    assert np.array_equal(shown(path, RescaleSlope=2.0, RescaleIntercept=-1000.0), plain)
    window = shown(path, WindowCenter=[2000.5, 10.0], WindowWidth=[1001.0, 10.0])
    expected = np.rint(255 * np.clip((STORED - 2000.0) / 1000 + 0.5, 0, 1))
    assert np.array_equal(window, expected)
    hounsfield = shown(
        path, WindowCenter=1000.5, WindowWidth=1001.0, RescaleIntercept=-1000.0, RescaleSlope=1.0
    )
    assert np.array_equal(hounsfield, expected)
    signed = (STORED.astype(np.int16) - 1750).astype(np.int16)
    assert np.array_equal(shown(path, stored=signed), np.rint((signed + 2048.0) / 4095 * 255))


def test_no_tag_of_a_patient_is_read(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    pydicom = pytest.importorskip("pydicom")
    seen: list[Any] = []
    known = files.show_dicom

    def watch(data: Any) -> np.ndarray:
        seen.append(data)
        return known(data)

    monkeypatch.setattr(files, "show_dicom", watch)
    shown(tmp_path / "a.dcm")
    assert {element.keyword for element in seen[0]} <= set(files._PIXEL_TAGS)
    assert pydicom.dcmread(tmp_path / "a.dcm").PatientID == SECRET


@pytest.mark.parametrize(
    ("tags", "why"),
    [
        ({"NumberOfFrames": 2}, "hold several pictures"),
        ({"PhotometricInterpretation": "PALETTE COLOR"}, "neither grey nor 8-bit RGB"),
    ],
)
def test_other_dicom_files_are_refused(tmp_path: Path, tags: dict[str, Any], why: str) -> None:
    path = tmp_path / "a.dcm"
    write_dicom(path, STORED, **tags)
    with pytest.raises(files._NoPicture, match=why):
        files._read_picture(path, False)


def test_without_the_extra_the_extra_is_named(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    write_list(tmp_path, fill(tmp_path))
    monkeypatch.setattr("pipelines.settings.importlib.util.find_spec", lambda name: None)
    with pytest.raises(PrivauditError, match=r"privaudit\[images\]"):
        read(tmp_path, classes=("benign", "malignant"))


@pytest.mark.real
@pytest.mark.skipif(not REAL.is_dir(), reason="the MedMNIST files are not there")
@pytest.mark.parametrize(
    ("name", "pictures", "copies"), [("breast", 780, 1), ("pneumonia", 5856, 29)]
)
def test_the_copies_in_medmnist_are_found(name: str, pictures: int, copies: int) -> None:
    found = read(REAL / f"{name}mnist.npz")
    assert [step.patients for step in found.flow] == [pictures, pictures - copies]


def test_doctor_tells_pictures_from_the_tables_of_other_tasks(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    save(tmp_path / "a.npz", *draw(40, 1))
    assert cli.main(["doctor", "--data", str(tmp_path), "--json"]) == 0
    assert json.loads(capsys.readouterr().out)["data"]["source"] == "arrays of pictures (.npz)"
