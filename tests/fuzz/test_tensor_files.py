"""Files of tensors: initial weights, a run's outputs, stages of the cache, snapshots, matrices.

What is right is told by readers of safetensors' header and of NumPy's in this file, byte by byte.
"""

from __future__ import annotations

import contextlib
import io
import json
import math
import pickle
import struct
import tempfile
import zipfile
from collections import OrderedDict
from functools import cache
from pathlib import Path
from typing import Any

import numpy as np
import torch
from hypothesis import example, given
from hypothesis import strategies as st
from near_misses import MEBIBYTE, REFUSED, documents, fuzzed, outcome, same, spoiled, strict_json
from safetensors.numpy import save as numpy_safetensors
from torch import nn

from bench.backbones.weights import load, read
from bench.context import Context
from bench.evidence import OUTPUTS, arrays
from bench.evidence import read as read_evidence
from bench.records import read_confusions, read_metrics
from bench.select import Evidence
from bench.stages import StageStore

SIZES = {"F64": 8, "F32": 4, "F16": 2, "I64": 8, "I32": 4, "I16": 2, "I8": 1, "U8": 1, "BOOL": 1}
SIZES |= {"BF16": 2, "U16": 2, "U32": 4, "U64": 8}


class Net(nn.Module):
    """A network of six numbers."""

    def __init__(self) -> None:
        super().__init__()
        self.body = nn.Linear(2, 1)
        self.head = nn.Linear(1, 1)
        self.register_buffer("count", torch.tensor(3))


def filled() -> Net:
    net = Net()
    state = {key: torch.full_like(value, 7) for key, value in net.state_dict().items()}
    net.load_state_dict(state)
    return net


def in_memory(state: object, **options: Any) -> bytes:
    file = io.BytesIO()
    torch.save(state, file, **options)
    return file.getvalue()


STATE = {key: value.clone() for key, value in filled().state_dict().items()}
SAFE = numpy_safetensors({key: value.numpy() for key, value in STATE.items()})
PTH = [in_memory(STATE), in_memory(STATE, _use_new_zipfile_serialization=False)]


def safetensors(header: object, data: bytes = b"", length: int | None = None) -> bytes:
    text = json.dumps(header).encode()
    return struct.pack("<Q", len(text) if length is None else length) + text + data


def slow_safetensors(content: bytes) -> dict[str, tuple[str, list[int], bytes]] | None:
    """Return (dtype, shape, bytes) of each tensor, or None if it is no such file."""
    if len(content) < 8:
        return None
    length = int.from_bytes(content[:8], "little")
    data = content[8 + length :]
    try:
        header = json.loads(content[8 : 8 + length])
        header.pop("__metadata__", None)
        found = {}
        for name, about in header.items():
            first, last = about["data_offsets"]
            found[name] = (about["dtype"], about["shape"], data[first:last])
            assert last - first == math.prod(about["shape"]) * SIZES[about["dtype"]]
    except (ValueError, KeyError, TypeError, AttributeError, AssertionError):
        return None
    return found


SAFE_FILES = spoiled(SAFE) | documents(
    {
        "a": {"dtype": "F32", "shape": [2], "data_offsets": [0, 8]},
        "b": {"dtype": "I64", "shape": [], "data_offsets": [8, 16]},
    }
).map(lambda text: struct.pack("<Q", len(text)) + text + bytes(range(16)))


def bits(tensor: torch.Tensor) -> bytes:
    return (
        tensor.contiguous().flatten().view(torch.uint8).numpy().tobytes() if tensor.numel() else b""
    )


@fuzzed
@given(content=SAFE_FILES)
@example(
    content=safetensors({"a": {"dtype": "F32", "shape": [10**12], "data_offsets": [0, 4 * 10**12]}})
)
@example(content=safetensors({}, length=2**63))
@example(
    content=safetensors({"a": {"dtype": "F32", "shape": [2**32, 2**32], "data_offsets": [0, 0]}})
)
@example(
    content=safetensors({"a": {"dtype": "F8_E4M3", "shape": [1], "data_offsets": [0, 1]}}, b"1")
)
@example(content=safetensors({"a": {"dtype": "F4", "shape": [2], "data_offsets": [0, 1]}}, b"1"))
@example(content=b"")
def test_weights_in_safetensors(content: bytes, tmp_path: Path) -> None:
    path = tmp_path / "w.safetensors"
    path.write_bytes(content)
    found = outcome("weights files", lambda: read(path), path)
    if found is REFUSED:
        return
    said = slow_safetensors(content)
    if said is not None:
        assert {name: (list(t.shape), bits(t)) for name, t in found.items()} == {
            name: (shape, data) for name, (_, shape, data) in said.items()
        }


class Evil:
    """Runs code when it is unpickled."""

    def __reduce__(self) -> tuple[Any, ...]:
        return exec, ("raise SystemExit('it ran')",)


ODD_STATES = (
    {0: torch.zeros(1)},
    {"body.weight": torch.zeros(1, 2).to_sparse()},
    {key: value.to(torch.complex64) for key, value in STATE.items()},
    {key: value.double() for key, value in STATE.items()},
    {key: torch.zeros(()).expand(value.shape) for key, value in STATE.items()},
    {"body.weight": torch.zeros(1).expand(10**12)},
    {key: nn.Parameter(value.float()) for key, value in STATE.items()},
    {"a\ud800": torch.zeros(1)},
    {key: value.to("meta") for key, value in STATE.items()},
    OrderedDict(STATE),
    torch.zeros(3),
    [1, 2],
    {"state_dict": STATE},
    None,
    7,
)


@fuzzed
@given(
    content=spoiled(st.sampled_from((PTH[0], PTH[0], PTH[1])))
    | st.sampled_from(ODD_STATES).map(in_memory)
)
@example(content=pickle.dumps(Evil()))
@example(content=pickle.dumps({"a": Evil()}, 0))
@example(content=b"\x80\x02" + b"(" * 100_000 + b".")
@example(content=b"")
@example(content=b"\x80\x02}.")
def test_weights_of_torch(content: bytes, tmp_path: Path) -> None:
    path = tmp_path / "w.pth"
    path.write_bytes(content)
    net = filled()

    def use() -> dict[str, torch.Tensor]:
        state = read(path)
        load(net, state, str(path))
        return state

    found = outcome("weights files", use, path)
    if found is REFUSED:
        return
    for key, value in net.state_dict().items():
        given_ = found.get(key)
        assert given_ is None or torch.equal(value, given_.to(value.dtype)) or value.isnan().any()


def test_odd_states_are_loaded_or_refused(tmp_path: Path) -> None:
    path = tmp_path / "w.pt"
    for state in ODD_STATES:
        torch.save(state, path)
        outcome("weights files", lambda: load(filled(), read(path), str(path)), path)


# ------------------------------------------------------------------ stages and snapshots

META = {"key": "k", "name": "source", "steps": 5, "seconds": 0.5, "stop": None}


def untrained() -> Net:
    torch.manual_seed(0)
    return Net()


@fuzzed
@given(
    about=documents(META) | st.just(json.dumps(META).encode()),
    weights=SAFE_FILES | st.just(SAFE),
    log=spoiled(b'{"a":1}\n{"b":2}\n') | st.just(b'{"a":1}\n'),
)
@example(about=b"[]", weights=SAFE, log=b"")
@example(about=b"{}", weights=SAFE, log=b"")
@example(about=b"[" * 100_000, weights=SAFE, log=b"")
@example(about=json.dumps(META).replace("5", "1e999").encode(), weights=SAFE, log=b"")
@example(about=json.dumps(META).encode(), weights=numpy_safetensors({"a": np.zeros(1)}), log=b"")
@example(about=json.dumps(META).encode(), weights=SAFE, log=b"{")
@example(about=json.dumps(META).encode(), weights=SAFE, log=b"\xff\n")
def test_a_stage_of_the_cache_is_used_as_it_is_or_computed_again(
    about: bytes, weights: bytes, log: bytes, tmp_path_factory: Any
) -> None:
    root = tmp_path_factory.mktemp("stages")
    lines: list[Any] = []

    def context(place: str) -> Context:
        return Context(
            seed=0,
            device=torch.device("cpu"),
            network=untrained,
            workspace=root / f"work-{place}",
            store=StageStore(root / "store"),
            identity="i",
            budget=100,
            on_log=lines.append,
        )

    def run(place: str) -> nn.Module:
        with context(place).fitting():
            return context(place).stage("source", params={}, build=untrained, train=train)

    def train(net: nn.Module) -> None:
        trained.append(True)
        for parameter in net.parameters():
            parameter.data.fill_(1)

    trained: list[bool] = []
    run("first")
    (folder,) = (path.parent for path in root.glob("store/*/stage.json"))
    about = about.replace(b'"k"', f'"{folder.name}"'.encode())  # so that it is believed
    (folder / "stage.json").write_bytes(about)
    (folder / "weights.safetensors").write_bytes(weights)
    (folder / "metrics.jsonl").write_bytes(log)
    trained.clear()
    lines.clear()
    net = outcome("stages", lambda: run("second"))
    if net is REFUSED:
        assert json.loads(about)["steps"] > 100  # the budget
        return
    if trained:
        assert all((value == 1).all() for value in net.parameters())
        assert not lines
    else:
        said = slow_safetensors(weights)
        assert said is not None
        assert {k: bits(v) for k, v in net.state_dict().items()} == {
            k: v[2] for k, v in said.items()
        }
        assert lines == [json.loads(line) for line in log.decode().splitlines()]


@cache
def left_by_a_kill() -> tuple[Path, bytes]:
    """Take seven steps of ten; return the snapshot's place in the workspace, and its content."""
    with tempfile.TemporaryDirectory() as folder:
        with contextlib.suppress(KeyboardInterrupt):
            steps(Path(folder), 7)
        (path,) = Path(folder).rglob("loop-0.pt")
        return path.relative_to(folder), path.read_bytes()


def steps(root: Path, stop: int | None = None) -> tuple[float, int]:
    """Add each step's number to a weight; return the weight, and how many steps were taken now."""
    net, taken = nn.Linear(1, 1, bias=False), 0
    net.weight.data.zero_()
    context = Context(
        seed=0,
        device=torch.device("cpu"),
        network=lambda: net,
        workspace=root,
        store=StageStore(root / "store"),
        identity="i",
        budget=100,
    )
    with context.fitting():
        for step in context.steps(10, {"net": net}):
            if step.index == stop:
                raise KeyboardInterrupt
            net.weight.data += step.index
            context.log(step=step.index)
            taken += 1
    return float(net.weight.detach()), taken


WEIGHT = {"net": {"weight": torch.full((1, 1), 21.0)}}
LEFT = {"done": 7, "taken": 7, "stop": None, "seconds": 0.5, "lines": [], "state": WEIGHT}
SNAPSHOTS = [
    *(in_memory(content) for content in ({}, [], None, 7, torch.zeros(3), STATE)),
    *(in_memory(LEFT | {"state": state}) for state in (None, {}, {"net": {}}, {"net": STATE})),
    *(in_memory(LEFT | {"done": done}) for done in ("x", -1, True, 7.5)),
    *(in_memory(LEFT | {"taken": taken}) for taken in (-1, None)),
    *(in_memory(LEFT | {"lines": lines}) for lines in (["{"], [5], ["{}"], ["[" * 100_000], 5)),
    *(in_memory(LEFT | {"seconds": seconds}) for seconds in (None, -1.0, math.nan, math.inf)),
    *(in_memory(LEFT | {"stop": stop}) for stop in (5, [])),
    *(pickle.dumps(Evil()), b"", PTH[0]),
]


@fuzzed
@given(data=st.data())
def test_a_snapshot_is_taken_up_or_the_loop_begins_again(
    data: st.DataObject, tmp_path_factory: Any
) -> None:
    root = tmp_path_factory.mktemp("snapshots")
    place, sound = left_by_a_kill()
    path = root / place
    path.parent.mkdir(parents=True)
    path.write_bytes(data.draw(spoiled(sound) | st.sampled_from(SNAPSHOTS)))
    found = outcome("snapshots", lambda: steps(root), path)
    if found is not REFUSED:
        assert found[0] == sum(range(10))
        assert found[1] in (10, 3)


# ------------------------------------------------------------------ what a run keeps


def evidence() -> Evidence:
    random = np.random.default_rng(0)
    logits = [random.normal(size=(n, 3)).astype(np.float32) for n in (4, 2)]
    return Evidence(*logits, np.array([0, 2]), np.array([1.0, 0.5]))


KEPT = numpy_safetensors(arrays({10: evidence(), 20: evidence()}))
HEADER = {
    "target_logits/checkpoint-00000010": {"dtype": "F32", "shape": [2, 2], "data_offsets": [0, 16]},
    "validation_logits/checkpoint-00000010": {
        "dtype": "F32",
        "shape": [1, 2],
        "data_offsets": [16, 24],
    },
    "validation_weights/checkpoint-00000010": {
        "dtype": "F64",
        "shape": [1],
        "data_offsets": [24, 32],
    },
    "validation_labels": {"dtype": "I64", "shape": [1], "data_offsets": [32, 40]},
}


def kept(text: bytes) -> bytes:
    return (
        struct.pack("<Q", len(text))
        + text
        + np.ones(8, np.float32).tobytes()
        + struct.pack("<q", 1)
    )


def other_kept(**changed: np.ndarray) -> bytes:
    return numpy_safetensors(
        arrays({10: evidence()}) | {k.replace("_of_", "/"): v for k, v in changed.items()}
    )


@fuzzed
@given(content=spoiled(KEPT) | documents(HEADER).map(kept))
@example(content=KEPT)
@example(
    content=kept(json.dumps(HEADER).replace("F32", "BF16").replace("[2, 2]", "[2, 4]").encode())
)
@example(content=kept(json.dumps(HEADER).replace("00000010", "1_0").encode()))
@example(content=kept(json.dumps(HEADER).replace("00000010", "-1").encode()))
@example(content=other_kept(validation_labels=np.array([0, 3])))
@example(content=other_kept(validation_labels=np.array([0, -1])))
@example(content=other_kept(validation_labels=np.zeros((2, 1), np.int64)))
@example(content=other_kept(validation_labels=np.zeros(3, np.int64)))
def test_outputs(content: bytes, tmp_path: Path) -> None:
    (tmp_path / OUTPUTS).write_bytes(content)
    found = outcome("outputs", lambda: read_evidence(tmp_path), tmp_path.name)
    if found is REFUSED:
        return
    said = slow_safetensors(content)
    assert said is not None
    assert found
    for step, seen in found.items():
        assert step >= 0
        parts = arrays({step: seen})
        assert {name: said[name][2] for name in parts} == {k: v.tobytes() for k, v in parts.items()}
        (n, k), (m, other) = seen.target.shape, seen.validation.shape
        assert (k, seen.labels.shape, seen.weights.shape) == (other, (m,), (m,))
        assert m == 0 or 0 <= seen.labels.min() <= seen.labels.max() < k
        assert n >= 0


def npy(array: np.ndarray) -> bytes:
    file = io.BytesIO()
    np.save(file, array)
    return file.getvalue()


def npz(packing: int = zipfile.ZIP_STORED, **members: bytes) -> bytes:
    file = io.BytesIO()
    with zipfile.ZipFile(file, "w", packing) as archive:
        for name, content in members.items():
            archive.writestr(f"{name.replace('_', '-')}.npy", content)
    return file.getvalue()


def claim(text: str, data: bytes = b"") -> bytes:
    head = text.encode() + b" " * (117 - len(text)) + b"\n"
    return b"\x93NUMPY\1\0" + struct.pack("<H", len(head)) + head + data


MATRIX = np.array([[3, 1], [2, 4]])
SOUND = npz(checkpoint_5=npy(MATRIX), checkpoint_10=npy(MATRIX), stage_source=npy(MATRIX))
HUGE = "{'descr': '<i8', 'fortran_order': False, 'shape': (1000000, 1000000), }"
ZEROS = claim("{'descr': '<i8', 'fortran_order': False, 'shape': (2048, 4096), }", bytes(2**26))


@fuzzed
@given(content=spoiled(SOUND) | spoiled(npy(MATRIX)).map(lambda member: npz(checkpoint_5=member)))
@example(content=SOUND)
@example(content=npy(MATRIX))
@example(content=npz(checkpoint_5=claim(HUGE)))
@example(content=npz(zipfile.ZIP_DEFLATED, checkpoint_5=ZEROS))
@example(
    content=npz(
        checkpoint_5=claim(
            "{'descr': '|O', 'fortran_order': False, 'shape': (1,), }", pickle.dumps([Evil()])
        )
    )
)
@example(content=npz(checkpoint_5=claim("((((((((")))
@example(content=npz(checkpoint_5=npy(MATRIX), checkpoint_05=npy(MATRIX + 1)))
@example(content=npz(checkpoint_1_0=npy(MATRIX)))
@example(content=npz(checkpoint_5=npy(MATRIX * 0.5)))
@example(content=npz(checkpoint_5=npy(-MATRIX)))
@example(content=npz(checkpoint_5=npy(MATRIX.astype(np.uint64) + np.uint64(2**63))))
@example(content=npz(checkpoint_5=npy(MATRIX[:1])))
@example(content=npz(other_5=npy(MATRIX)))
@example(content=b"")
def test_confusion_matrices(content: bytes, tmp_path: Path) -> None:
    path = tmp_path / "confusion.npz"
    path.write_bytes(content)
    found = outcome("confusion.npz", lambda: read_confusions(tmp_path), path, memory=32 * MEBIBYTE)
    if found is REFUSED:
        assert content != SOUND
        return
    members = {}
    with zipfile.ZipFile(io.BytesIO(content)) as archive:
        for info in archive.infolist():
            members[info.filename.removesuffix(".npy")] = np.load(io.BytesIO(archive.read(info)))
    ours = {f"checkpoint-{step}": m for step, m in found.checkpoints.items()}
    ours |= {f"stage-{name}": m for name, m in found.stages.items()}
    assert len(members) == len(ours)
    for name, matrix in members.items():
        kind, _, rest = name.partition("-")
        assert np.array_equal(ours[f"{kind}-{int(rest)}" if kind == "checkpoint" else name], matrix)


@fuzzed
@given(
    content=spoiled(b'{"stage":"source","step":1,"loss":0.5}\n{"step":2}\n')
    | documents({"step": 1, "loss": 0.5}).map(lambda text: text + b"\n")
)
@example(content=b'{"step":1}\n5\n')
@example(content=b"[" * 100_000 + b"\n")
@example(content=b'{"step":NaN}\n')
@example(content=b"\n")
def test_a_log_with_a_torn_tail(content: bytes, tmp_path: Path) -> None:
    path = tmp_path / "metrics.jsonl"
    path.write_bytes(content)
    found = outcome("metrics.jsonl", lambda: read_metrics(tmp_path), path)
    if found is not REFUSED:
        assert same(found, [strict_json(line) for line in content.split(b"\n")[:-1]])
        assert all(isinstance(line, dict) for line in found)


def test_a_stage_that_is_sound_is_used(tmp_path: Path) -> None:
    work = tmp_path / "work"
    work.mkdir()
    (work / "metrics.jsonl").write_bytes(b"{}\n")
    store = StageStore(tmp_path / "store")
    store.save("k", work, filled(), META)
    net = untrained()
    assert outcome("stages", lambda: store.load("k", net)) is not None
    assert all((value == 7).all() for value in net.parameters())
