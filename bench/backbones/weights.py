"""Initial weights: random, from a hub, or from a file of the user's.

Importing this loads no torch.
"""

from __future__ import annotations

import hashlib
import pickle
import warnings
from pathlib import Path
from typing import TYPE_CHECKING

from bench.errors import BenchError, MissingDataError

if TYPE_CHECKING:
    from collections.abc import Mapping

    from torch import Tensor, nn

RANDOM, IMAGENET = "random", "imagenet"
_SUFFIXES = (".safetensors", ".pth", ".pt")
_SHOWN = 4
"""How many names of a kind an error lists."""


def check(weights: str) -> None:
    """Raise an error unless `weights` is "random", "imagenet", or the path of a file that is there.

    Raises:
        BenchError: the path's ending is none that can be read.
        MissingDataError: there is no such file.

    >>> check("random")
    """
    if weights in {RANDOM, IMAGENET}:
        return
    path = Path(weights)
    expected = "Initial weights are 'random', 'imagenet', or a path to a .safetensors or .pth file"
    if not path.is_file():
        raise MissingDataError(f"There is no file of weights {path}. {expected}.")
    if path.suffix not in _SUFFIXES:
        raise BenchError(f"{path} is no file of weights by its name. {expected}.")


def describe(weights: str) -> str:
    """Return what stands in records and headings: a file counts by its content, not its path.

    Raises:
        BenchError: see `check`.

    >>> describe("imagenet")
    'imagenet'
    """
    check(weights)
    if weights in {RANDOM, IMAGENET}:
        return weights
    with Path(weights).open("rb") as file:
        return f"file sha256:{hashlib.file_digest(file, 'sha256').hexdigest()[:12]}"


def read(path: Path) -> dict[str, Tensor]:
    """Return the tensors by name of a .safetensors file, or of a .pth file that holds nothing else.

    Nothing in the file is ever run.

    Raises:
        BenchError: it is damaged, or holds other things than tensors.
    """
    import torch  # noqa: PLC0415  see the module's docstring
    from safetensors.torch import load_file  # noqa: PLC0415

    check(str(path))
    try:
        if path.suffix == ".safetensors":
            return load_file(path)
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # of torch, about how the file was written
            state = torch.load(path, map_location="cpu", weights_only=True)
    except pickle.UnpicklingError as error:
        raise BenchError(
            f"{path} is no plain file of tensors, and is not read: to read it could run code."
            " Save the network's state_dict(), best as .safetensors."
        ) from error
    except Exception as error:  # of any class: neither reader promises which
        raise BenchError(
            f"{path} is damaged, or no {path.suffix} file. Get or save it again."
        ) from error
    if not isinstance(state, dict) or not all(isinstance(v, torch.Tensor) for v in state.values()):
        raise BenchError(
            f"{path} holds {_summary(state)}, expected tensors by name."
            " Save the network's state_dict() alone."
        )
    odd = [str(key) for key, value in state.items() if not (isinstance(key, str) and _plain(value))]
    if odd:
        raise BenchError(
            f"{path} holds {_listed(odd)}, expected dense tensors of real numbers, by name."
            " Save the network's state_dict() alone."
        )
    return state


def _plain(tensor: Tensor) -> bool:
    """Say whether a tensor is of numbers that are here, one by one, and real."""
    dense = str(tensor.layout) == "torch.strided" and not tensor.is_quantized
    return dense and not tensor.is_complex() and not tensor.is_meta


def fetch(url: str, what: str) -> dict[str, Tensor]:
    """Return the tensors of a released file, from torch's cache or downloaded and verified.

    Raises:
        MissingDataError: it cannot be had.
    """
    from torch import hub  # noqa: PLC0415

    try:
        return dict(
            hub.load_state_dict_from_url(
                url, map_location="cpu", progress=False, check_hash=True, weights_only=True
            )
        )
    except (OSError, RuntimeError, pickle.UnpicklingError) as error:
        raise unreachable(what, url, error) from error


def unreachable(what: str, url: str, error: Exception) -> MissingDataError:
    """Return the error for weights that a hub should have given, with the way round it."""
    return MissingDataError(
        f"The ImageNet weights of {what} cannot be had from {url} ({_first_line(error)})."
        " Without a network, download them elsewhere and give the file's path as initial weights,"
        " or use 'random'."
    )


def load(network: nn.Module, state: Mapping[str, Tensor], origin: str) -> None:
    """Copy weights into a network, all of them or all but its classifier.

    They may be the whole network's, in its own names, or its trunk's, in the names of the release
    that the network's `adopted` translates. Counters of batch norms may be missing: files from
    before 2018 have none. All else has to fit.

    Args:
        network: its attribute `optional` lists prefixes of parts that may be missing as a whole.
        state: tensors by name.
        origin: where they are from, for the error.

    Raises:
        BenchError: some are missing, superfluous or of another shape.
    """
    if adopted := getattr(network, "adopted", None):
        state = adopted(state)
    wanted = network.state_dict()
    optional = getattr(network, "optional", ("head.",))
    absent = tuple(part for part in optional if not any(key.startswith(part) for key in state))
    missing = [
        key
        for key in wanted
        if key not in state and not key.startswith(absent) and not key.endswith("_tracked")
    ]
    superfluous = [key for key in state if key not in wanted]
    other = [
        f"{key} {tuple(state[key].shape)} for {tuple(wanted[key].shape)}"
        for key in wanted
        if key in state and state[key].shape != wanted[key].shape
    ]
    kinds = {"missing": missing, "superfluous": superfluous, "of another shape": other}
    if any(kinds.values()):
        wrong = "; ".join(f"{kind}: {_listed(keys)}" for kind, keys in kinds.items() if keys)
        raise BenchError(
            f"The weights in {origin} do not fit the backbone. {wrong[0].upper()}{wrong[1:]}."
            " Expected a state dict of the whole network or of its trunk; the classifier may be"
            " left out."
        )
    network.load_state_dict(dict(state), strict=False)


def _listed(keys: list[str]) -> str:
    more = f" and {len(keys) - _SHOWN} more" if len(keys) > _SHOWN else ""
    return ", ".join(keys[:_SHOWN]) + more


def _summary(state: object) -> str:
    if isinstance(state, dict):
        return f"a dict of {_listed([str(key) for key in state])}"
    return f"a {type(state).__name__}"


def _first_line(error: Exception) -> str:
    return (str(error).strip().splitlines() or [type(error).__name__])[0]
