"""TorchScript files: programs of torch's own operations. No Python of the file is run."""

from __future__ import annotations

import io
import re
import zipfile
from dataclasses import dataclass
from typing import Any

from privaudit.errors import PrivauditError
from privaudit.inputs.models.opened_model import FileModel, Opened
from privaudit.inputs.models.torch_module import TorchModel, open_torch

SCRIPT_NOTE = (
    "a TorchScript file is a program of torch's own operations: it cannot run Python, and one that "
    "names operations which touch files is refused, but it may compute for as long as it likes"
)
_TOUCHES_FILES = re.compile(
    rb"\b(torch\.save|torch\.load|aten\.save|from_file|torch\.classes|__torch__\.torch\.classes)\b|\bopen\("
)


@dataclass(frozen=True, eq=False)
class TorchScript(FileModel, TorchModel):
    """A module from its file's bytes, which are `held`."""

    def load(self) -> Any:
        return load_script(self.held)

    @property
    def module(self) -> Any:
        return self.loaded


def open_script(raw: bytes) -> Opened:
    """A file of `torch.jit.save`. Its code is searched for operations that touch files first."""
    refuse_script(raw)
    return open_torch(TorchScript, raw, load_script(raw), "TorchScript", (SCRIPT_NOTE,))


def refuse_script(raw: bytes) -> None:
    with zipfile.ZipFile(io.BytesIO(raw)) as archive:
        names = archive.namelist()
        if not any("/code/" in name for name in names):
            raise PrivauditError(
                "a torch file that is no TorchScript",
                "it is a pickle (torch.save): loading it may run any code",
                "export with torch.jit.script or torch.jit.trace and torch.jit.save, or save the "
                "weights as safetensors and name the module (--module module:factory)",
            )
        for name in names:
            if (
                "/code/" in name
                and name.endswith(".py")
                and _TOUCHES_FILES.search(archive.read(name))
            ):
                raise PrivauditError(
                    "a TorchScript file that names operations which read or write files",
                    "a model that answers with probabilities needs none of them",
                    "do not use this file; export the model again from where it was trained",
                )


def load_script(raw: bytes) -> Any:
    import torch

    try:
        model = torch.jit.load(io.BytesIO(raw), map_location="cpu")  # type: ignore[no-untyped-call]
        return model.eval()
    except Exception:
        raise PrivauditError(
            "the model cannot be read as TorchScript",
            "the file is damaged, cut short, or of another version of torch",
            "save it again with torch.jit.save",
        ) from None


__all__ = ["TorchScript", "open_script"]
