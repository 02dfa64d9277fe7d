"""What a Parquet file declares, before its library sets memory aside for it."""

from __future__ import annotations

from pathlib import Path

from privaudit.errors import PrivauditError
from privaudit.inputs.parquet_footer import (
    CELL_BYTES,
    FREE_BYTES,
    MAX_RATIO,
    Footer,
    measure_memory,
    read_footer,
)


def check_parquet(path: Path, what: str) -> Footer:
    """The metadata of a Parquet file that this machine can unpack.

    Raises:
        BadThrift: It is damaged or contradicts itself.
        PrivauditError: It unpacks to far more than its size, or to more than memory holds.
    """
    footer, size = read_footer(path), path.stat().st_size
    if footer.unpacked > max(FREE_BYTES, MAX_RATIO * size):
        raise PrivauditError(
            f"{what} of {size:,} bytes unpacks to {footer.unpacked:,}",
            f"at most {MAX_RATIO} times its size is unpacked: a small file can be made to fill the "
            "memory",
            "write it again from where it came, with smaller groups of rows",
        )
    needed, memory = footer.widest * footer.columns * CELL_BYTES, measure_memory()
    if needed > memory // 2:
        raise PrivauditError(
            f"{what} has a group of {footer.widest:,} rows in {footer.columns:,} columns",
            f"a group is read at once, and this one needs {needed / 1e9:,.0f} GB of this machine's "
            f"{memory / 1e9:,.0f} GB",
            "write it with smaller groups of rows, or give a sample of its patients",
        )
    return footer


__all__ = ["check_parquet"]
