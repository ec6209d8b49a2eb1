"""Reading ``confusion.npz``, and believing nothing of what it claims.

NumPy's own reader makes room for as much as a header claims, and raises whatever its parsers do.
"""

from __future__ import annotations

import io
import re
import zipfile
from math import prod
from typing import TYPE_CHECKING, Literal

import numpy as np

from bench.confusions import Confusions
from bench.errors import BenchError
from bench.metrics import checked

if TYPE_CHECKING:
    from pathlib import Path

    from bench.metrics import Confusion

MOST_BYTES = 2**20
"""Of one matrix: more than 256 classes take."""

_MEMBER = re.compile(r"(?:checkpoint-([0-9]{1,18})|stage-(.+))\.npy", re.DOTALL)


def read(path: Path) -> Confusions:
    """Return the matrices of the members ``checkpoint-STEP.npy`` and ``stage-NAME.npy``.

    Raises:
        OSError: the file cannot be read.
        ValueError: it is damaged, or holds anything else; the message says what.
    """
    found = Confusions()
    with path.open("rb") as file:
        try:
            with zipfile.ZipFile(file) as archive:
                for member in sorted(archive.infolist(), key=lambda member: member.filename):
                    _add(found, member, archive)
        except ValueError:
            raise
        except Exception as error:  # of any class: zipfile promises none
            raise ValueError(str(error) or type(error).__name__) from error
    return found


def _add(found: Confusions, member: zipfile.ZipInfo, archive: zipfile.ZipFile) -> None:
    name = _MEMBER.fullmatch(member.filename)
    if name is None or member.file_size > MOST_BYTES:
        raise ValueError(f"{member.filename!r} is no confusion matrix")
    step, stage = (None if name[1] is None else int(name[1])), name[2]
    if step in found.checkpoints or stage in found.stages:
        raise ValueError(f"{member.filename!r} comes twice")
    matrix = _matrix(archive.read(member), member.filename)
    if step is None:
        found.stages[stage] = matrix
    else:
        found.checkpoints[step] = matrix


def _matrix(content: bytes, name: str) -> Confusion:
    """Return int64 (k, k) from an .npy file of version 1.0, which has just so many bytes."""
    try:
        shape, values, order = _array(content)
        return checked(np.frombuffer(values, np.int64).reshape(shape, order=order).copy())
    except BenchError as error:
        raise ValueError(f"{name!r}: {error}") from error
    except Exception as error:  # a SyntaxError or TokenError, say, of a header
        raise ValueError(f"{name!r} is no array of NumPy's ({error})") from error


def _array(content: bytes) -> tuple[tuple[int, ...], bytes, Literal["C", "F"]]:
    """Return shape, values and their order; raise whatever says that it is no such array."""
    file = io.BytesIO(content)
    if np.lib.format.read_magic(file) != (1, 0):
        raise ValueError("another version")
    shape, by_column, dtype = np.lib.format.read_array_header_1_0(file)
    values = content[file.tell() :]
    if dtype != np.int64 or prod(shape) * dtype.itemsize != len(values):
        raise ValueError("expected as many int64 as the header says")
    return shape, values, "F" if by_column else "C"
