"""Whose fault it is: the machine's real errors are told from a method's, and end as they should."""

from __future__ import annotations

import errno
import json
import subprocess
import sys
import textwrap
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import pytest
import torch
from safetensors import SafetensorError

from bench.errors import BenchError, MachineError
from bench.faults import fault_of
from bench.request import Request
from bench.sweep import sweep

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

PLUGINS = Path(__file__).parent / "plugins"
TOY = f"{PLUGINS / 'toy_suite.py'}:TOY"


def raised(act: Callable[[], object]) -> BaseException:
    with pytest.raises(BaseException) as caught:  # noqa: PT011  whatever it is
        act()
    return caught.value


def chained(error: Exception, cause: Exception) -> Exception:
    error.__cause__ = cause
    return error


# ------------------------------------------------------------------ which fault


@pytest.mark.parametrize(
    "act",
    [
        lambda: torch.empty(10**15),
        lambda: np.empty(10**15),
        lambda: bytearray(10**15),
        lambda: [0] * 10**15,
    ],
    ids=["torch", "numpy", "bytes", "list"],
)
def test_memory_that_is_not_there(act: Callable[[], object]) -> None:
    fault = fault_of(raised(act))
    assert fault is not None
    assert (fault.status, fault.stops) == ("failed", False)
    assert fault.reason.startswith("out of memory")
    assert "Lower the batch size" in fault.reason


@pytest.mark.parametrize(
    "error",
    [
        torch.cuda.OutOfMemoryError("CUDA out of memory. Tried to allocate 2.00 GiB."),
        RuntimeError("CUDA error: out of memory\nCUDA kernel errors might be ..."),
        RuntimeError("CUDA error: CUBLAS_STATUS_ALLOC_FAILED when calling `cublasCreate(handle)`"),
        RuntimeError("MPS backend out of memory (MPS allocated: 5.05 GB)"),
        RuntimeError("[enforce fail at alloc_cpu.cpp] DefaultCPUAllocator: not enough memory"),
        OSError(errno.ENOMEM, "Cannot allocate memory"),
        chained(BenchError("no network"), MemoryError()),
    ],
)
def test_memory_as_others_say_it(error: Exception) -> None:
    fault = fault_of(error)
    assert fault is not None
    assert (fault.status, fault.stops) == ("failed", False)


@pytest.mark.parametrize(
    ("error", "said"),
    [
        (OSError(errno.ENOSPC, "No space left on device"), "the disk is full"),
        (OSError(errno.EDQUOT, "Disk quota exceeded"), "quota"),
        (OSError(errno.EROFS, "Read-only file system"), "read-only"),
        (OSError(errno.EIO, "Input/output error"), "the disk failed"),
        (OSError(errno.ESTALE, "Stale file handle"), "went away"),
        (SafetensorError("I/O error: No space left on device (os error 28)"), "the disk is full"),
        (RuntimeError("[enforce fail at inline_container.cc:672] . unexpected pos"), "snapshot"),
        (RuntimeError("basic_ios::clear: iostream error"), "snapshot"),
        (chained(BenchError("cannot write"), OSError(errno.ENOSPC, "")), "the disk is full"),
    ],
)
def test_disks(error: Exception, said: str) -> None:
    fault = fault_of(error)
    assert fault is not None
    assert (fault.status, fault.stops) == ("interrupted", True)
    assert said in fault.reason
    assert "the same command then goes on" in fault.reason


def test_a_file_that_may_not_be_written_counts_only_where_the_run_writes(tmp_path: Path) -> None:
    (tmp_path / "runs").mkdir()
    for number in (errno.EACCES, errno.EPERM):
        inside = OSError(number, "refused", str(tmp_path / "runs" / "a" / "run.json"))
        fault = fault_of(inside, tmp_path / "runs")
        assert fault is not None
        assert (fault.status, fault.stops) == ("interrupted", True)
        assert fault_of(inside) is None
        assert fault_of(inside, tmp_path / "run") is None
        assert fault_of(OSError(number, "refused"), tmp_path) is None


@pytest.mark.parametrize(
    ("text", "status"),
    [
        ("CUDA error: unspecified launch failure", "interrupted"),
        ("CUDA driver error: unknown error", "interrupted"),
        ("NCCL error in: ProcessGroupNCCL.cpp:1, unhandled system error", "interrupted"),
        ("HIP error: invalid device ordinal", "interrupted"),
        ("CUDA error: device-side assert triggered", "failed"),
        ("CUDA error: an illegal memory access was encountered", "failed"),
    ],
)
def test_a_gpu_that_cannot_be_used_any_more(text: str, status: str) -> None:
    """An index out of range is the method's own, but the process is as lost as by any other."""
    fault = fault_of(RuntimeError(f"{text}\nCUDA kernel errors might be asynchronously reported"))
    assert fault is not None
    assert (fault.status, fault.stops) == (status, True)
    assert text in fault.reason
    assert "asynchronously" not in fault.reason


@pytest.mark.skipif(not hasattr(torch, "AcceleratorError"), reason="torch is older")
def test_a_gpu_is_known_by_its_error() -> None:
    fault = fault_of(torch.AcceleratorError("whatever it says"))
    assert fault is not None
    assert (fault.status, fault.stops) == ("interrupted", True)


@pytest.mark.parametrize(
    "error",
    [
        ValueError("out of memory"),
        RuntimeError("The size of tensor a (3) must match the size of tensor b (4)"),
        FileNotFoundError(errno.ENOENT, "No such file", "labels.txt"),
        BenchError("fit must return a torch.nn.Module"),
        SystemExit(3),
        KeyError("memory"),
    ],
)
def test_what_is_a_methods_own(error: BaseException) -> None:
    assert fault_of(error, Path()) is None


def test_a_chain_of_causes_that_bites_its_tail_ends() -> None:
    error = ValueError()
    error.__cause__ = TypeError()
    error.__cause__.__cause__ = error
    assert fault_of(error) is None


# ------------------------------------------------------------------ how a trial ends by it

METHODS = """
    import subprocess, sys
    from dataclasses import dataclass
    from pathlib import Path

    import torch
    from torch import nn

    HERE = Path(__file__).parent

    def trained(ctx, task, at_step):
        def train(net):
            optimizer = torch.optim.SGD(net.parameters(), lr=1e-3)
            for step in ctx.steps(20, {"optimizer": optimizer}):
                x, y = step.batch(task.source, 16)
                optimizer.zero_grad()
                nn.functional.cross_entropy(net(x), y).backward()
                optimizer.step()
                if step.index == 11 and not (HERE / "calm").exists():
                    at_step()
        return ctx.stage("source", params={}, build=ctx.network, train=train)

    @dataclass(frozen=True)
    class Greedy:
        def fit(self, task, ctx):
            return trained(ctx, task, lambda: torch.ones(2 ** 33))

    @dataclass(frozen=True)
    class Lost:
        def fit(self, task, ctx):
            def lost():
                raise torch.AcceleratorError("CUDA error: unspecified launch failure")
            return trained(ctx, task, lost)

    @dataclass(frozen=True)
    class Mounts:  # something read-only over the trial's own folder
        def fit(self, task, ctx):
            def mount():
                place = (HERE / "mount-here").read_text()
                (found,) = HERE.glob(place)
                subprocess.run(["mount", "-t", "tmpfs", "-o", "ro", "none", found], check=True)
            return trained(ctx, task, mount)
"""


@pytest.fixture
def methods(tmp_path: Path) -> Path:
    path = tmp_path / "methods.py"
    path.write_text(textwrap.dedent(METHODS))
    return path


def run(methods: Path, name: str, *more: str) -> dict[str, Any]:
    """Run a method, and one that does no harm after it; return the record of the first."""
    runs = methods.parent / "runs"
    asked = (f"{methods}:{name}", *more)
    request = Request(
        suite=TOY, methods=asked, seeds=(0,), preset="smoke", threads=1, device="cpu", runs=runs
    )
    sweep(request)
    return record(runs, name)


def record(runs: Path, name: str) -> dict[str, Any]:
    found = [json.loads(path.read_text()) for path in runs.glob("*/run.json")]
    (one,) = [content for content in found if content["config"]["method"].endswith(name.lower())]
    return one


def matrices(runs: Path, content: dict[str, Any]) -> dict[str, Any]:
    with np.load(runs / content["run_id"] / "confusion.npz") as arrays:
        return {name: arrays[name].tolist() for name in arrays}


def undisturbed(methods: Path, name: str) -> dict[str, Any]:
    """Return the matrices of the trial where nothing happens to it."""
    calm = methods.parent / "undisturbed"
    calm.mkdir()
    copy = calm / "methods.py"
    copy.write_bytes(methods.read_bytes())
    (calm / "calm").touch()
    return matrices(calm / "runs", run(copy, name))


LIMITED = """if True:
    import resource, sys
    from pathlib import Path
    import bench.run, bench.outputs, bench.cli
    kilobytes = next(l.split()[1] for l in open("/proc/self/status") if l.startswith("VmSize"))
    limit = int(kilobytes) * 1024 + 3 * 2 ** 30
    resource.setrlimit(resource.RLIMIT_AS, (limit, limit))
    bench.cli.main()
"""


@pytest.mark.skipif(not Path("/proc/self/status").exists(), reason="limits are set as on Linux")
def test_out_of_memory_fails_the_trial_and_the_next_attempt_resumes(methods: Path) -> None:
    runs = methods.parent / "runs"
    command = [
        *(sys.executable, "-c", LIMITED, "run", "--suite", TOY, "--preset", "smoke"),
        *("--method", f"{methods}:Greedy", "--method", "source-only", "--seeds", "0,"),
        *("--threads", "1", "--device", "cpu", "--runs", str(runs)),
    ]
    ended = subprocess.run(command, capture_output=True, text=True, check=False)
    assert ended.returncode == 1, ended.stderr
    assert "Traceback" not in ended.stderr
    assert record(runs, "source-only")["status"] == "done"  # the sweep went on
    failed = record(runs, "Greedy")
    assert failed["status"] == "failed"
    assert failed["error"].startswith("out of memory (")
    assert list((runs / failed["run_id"]).glob("work/*/loop-0.pt"))
    (methods.parent / "calm").touch()
    again = run(methods, "Greedy")
    assert (again["status"], again["run_id"]) == ("done", failed["run_id"])
    assert again["attempts"] == 2
    assert matrices(runs, again) == undisturbed(methods, "Greedy")
    assert not (runs / again["run_id"] / "work").exists()


def test_a_lost_gpu_ends_the_sweep_and_keeps_the_work(methods: Path) -> None:
    runs = methods.parent / "runs"
    with pytest.raises(MachineError, match="the GPU was lost"):
        run(methods, "Lost", "source-only")
    content = record(runs, "Lost")
    assert content["status"] == "interrupted"
    assert content["error"].startswith("the GPU was lost (CUDA error: unspecified launch failure)")
    assert len(list(runs.glob("*/run.json"))) == 1
    assert list((runs / content["run_id"]).glob("work/*/loop-0.pt"))
    (methods.parent / "calm").touch()
    again = run(methods, "Lost")
    assert again["status"] == "done"
    assert matrices(runs, again) == undisturbed(methods, "Lost")


# ------------------------------------------------------------------ read-only


def can_mount(place: Path) -> bool:
    try:
        subprocess.run(
            ["mount", "-t", "tmpfs", "-o", "ro", "none", str(place)],
            check=True,
            capture_output=True,
        )
    except (OSError, subprocess.CalledProcessError):
        return False
    subprocess.run(["umount", str(place)], check=True)
    return True


@pytest.fixture
def mountable(tmp_path: Path) -> Iterator[None]:
    if not can_mount(tmp_path):
        pytest.skip("a file system cannot be mounted here (that takes root)")
    yield
    for line in Path("/proc/mounts").read_text().splitlines():
        place = line.split()[1]
        if place.startswith(f"{tmp_path}/"):
            subprocess.run(["umount", place], check=True)


def unmount(place: Path) -> None:
    subprocess.run(["umount", str(place)], check=True)


@pytest.mark.usefixtures("mountable")
def test_a_folder_that_turns_read_only_interrupts_the_trial(methods: Path) -> None:
    runs = methods.parent / "runs"
    (methods.parent / "mount-here").write_text("runs/mounts-*/work")
    with pytest.raises(MachineError, match="the file system is read-only"):
        run(methods, "Mounts", "source-only")
    content = record(runs, "Mounts")
    assert content["status"] == "interrupted"
    assert content["error"].startswith("the file system is read-only")
    assert len(list(runs.glob("*/run.json"))) == 1
    unmount(runs / content["run_id"] / "work")
    (methods.parent / "calm").touch()
    again = run(methods, "Mounts")
    assert again["status"] == "done"
    assert matrices(runs, again) == undisturbed(methods, "Mounts")


@pytest.mark.usefixtures("mountable")
def test_a_record_that_cannot_be_written_is_named_and_left_as_it_is(methods: Path) -> None:
    runs = methods.parent / "runs"
    (methods.parent / "mount-here").write_text("runs/mounts-*")
    with pytest.raises(MachineError, match=r"read-only.*The record of mounts.* was left as it is"):
        run(methods, "Mounts", "source-only")
    (folder,) = runs.glob("mounts-*")
    unmount(folder)
    assert record(runs, "Mounts")["status"] == "running"
    (methods.parent / "calm").touch()
    assert run(methods, "Mounts")["status"] == "done"


@pytest.mark.usefixtures("mountable")
def test_a_runs_folder_that_is_read_only_is_refused_before_any_training(methods: Path) -> None:
    runs = methods.parent / "runs"
    runs.mkdir()
    subprocess.run(["mount", "-t", "tmpfs", "-o", "ro", "none", str(runs)], check=True)
    with pytest.raises(BenchError, match=r"runs cannot be written \(Read-only file system\)"):
        run(methods, "Greedy")
    assert list(runs.iterdir()) == []
