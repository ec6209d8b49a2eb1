"""Content digests: canonical JSON and tensors to short hexadecimal names."""

from __future__ import annotations

import dataclasses
import hashlib
import json
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from torch import Tensor


def canonical_json(value: object) -> str:
    """Return the one JSON text of `value`: sorted keys, no blanks, dataclasses as objects.

    NaN and infinities are refused with a ValueError, because JSON has no such numbers.

    >>> canonical_json({"b": 1, "a": (1, 2)})
    '{"a":[1,2],"b":1}'
    """
    return json.dumps(value, sort_keys=True, separators=(",", ":"), allow_nan=False, default=_plain)


def digest_of(*parts: object) -> str:
    """Return the SHA-256 (hexadecimal) of tensors, text and anything that JSON can hold.

    A tensor contributes its dtype, shape and bytes, so a reshaped tensor has another digest.

    >>> digest_of("a", {"k": 1}) == digest_of("a", {"k": 1})
    True
    """
    sha = hashlib.sha256()
    for part in parts:
        if hasattr(part, "numpy"):
            _update_with_tensor(sha, part)  # type: ignore[arg-type]
        else:
            sha.update(canonical_json(part).encode())
        sha.update(b"\0")
    return sha.hexdigest()


def _update_with_tensor(sha: Any, tensor: Tensor) -> None:  # noqa: ANN401  hashlib's type is private
    array = tensor.detach().cpu().contiguous().numpy()
    sha.update(f"{array.dtype}{array.shape}".encode())
    sha.update(array.tobytes())


def _plain(value: object) -> object:
    if dataclasses.is_dataclass(value) and not isinstance(value, type):
        return dataclasses.asdict(value)
    message = f"cannot write a {type(value).__name__} as canonical JSON: {value!r}"
    raise TypeError(message)
