"""A real Ray cluster on this machine: the numbers of one process, also when a node dies."""

from __future__ import annotations

import contextlib
import json
import os
import secrets
import socket
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import psutil
import pytest

if TYPE_CHECKING:
    from collections.abc import Iterator

pytest.importorskip("ray", reason="Ray is not installed")

PLUGINS = Path(__file__).parent.parent / "plugins"
TOY = f"{PLUGINS / 'toy_suite.py'}:TOY"
RAY = Path(sys.executable).with_name("ray")
WAIT = 180
"""Seconds after which something that should have happened is taken for stuck."""


class Cluster:
    """A head without a CPU of its own, and two nodes of one CPU each, all on loopback."""

    def __init__(self, folder: Path) -> None:
        # A cluster of ours must not meet another of this machine's: own token, own port.
        token = {"RAY_AUTH_MODE": "token", "RAY_AUTH_TOKEN": secrets.token_hex(32)}
        python = {"OMP_NUM_THREADS": "1", "UNRULY": str(folder)}
        self.folder = folder
        self.environment = {**os.environ, **token, **python}
        with socket.socket() as free:
            free.bind(("127.0.0.1", 0))
            self.address = f"127.0.0.1:{free.getsockname()[1]}"
        # Not below pytest's folders: the path of a socket has at most 107 bytes.
        self.temporary = tempfile.TemporaryDirectory(prefix="ray-", ignore_cleanup_errors=True)

    def start(self) -> None:
        port = self.address.split(":")[1]
        head = ["--head", f"--port={port}", "--num-cpus=0", "--include-dashboard=false"]
        self._ray("start", *head, f"--temp-dir={self.temporary.name}", *self._alike())
        for _ in range(2):
            self._ray("start", f"--address={self.address}", "--num-cpus=1", *self._alike())

    def stop(self) -> None:
        """End every process of this cluster, and of no other."""
        ours: set[psutil.Process] = set()
        for process in psutil.process_iter(["cmdline"]):
            if self.temporary.name in " ".join(process.info["cmdline"] or ()):
                with contextlib.suppress(psutil.NoSuchProcess):
                    ours |= {process, *process.children(recursive=True)}
        for process in ours:
            with contextlib.suppress(psutil.NoSuchProcess):
                process.kill()
        psutil.wait_procs(ours, timeout=10)
        self.temporary.cleanup()

    def _alike(self) -> list[str]:
        return ["--node-ip-address=127.0.0.1", "--disable-usage-stats"]

    def _ray(self, *arguments: str) -> None:
        done = subprocess.run(
            [RAY, *arguments],
            env=self.environment,
            capture_output=True,
            text=True,
            check=False,
            timeout=WAIT,
        )
        assert done.returncode == 0, done.stdout + done.stderr

    def bench(self, runs: Path, *options: str) -> subprocess.Popen[str]:
        """Start `bench run` on it."""
        arguments = [
            "--suite",
            TOY,
            "--preset",
            "smoke",
            "--seeds",
            "2",
            "--threads",
            "1",
            "--json",
        ]
        arguments += ["--executor", "ray", "--address", self.address, "--runs", str(runs)]
        return subprocess.Popen(
            [sys.executable, "-m", "bench", "run", *arguments, *options],
            env=self.environment,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
        )


@pytest.fixture(scope="module")
def cluster(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Cluster]:
    made = Cluster(tmp_path_factory.mktemp("cluster"))
    try:
        made.start()
        yield made
    finally:
        made.stop()


def answer(process: subprocess.Popen[str]) -> list[dict[str, Any]]:
    out, err = process.communicate(timeout=WAIT)
    assert process.returncode == 0, err
    found: list[dict[str, Any]] = json.loads(out)
    return found


def matrices(runs: Path) -> dict[str, dict[str, list[Any]]]:
    found = {}
    for path in runs.glob("*/confusion.npz"):
        with np.load(path) as file:
            found[path.parent.name] = {name: file[name].tolist() for name in file.files}
    return found


def serial(runs: Path, *options: str) -> None:
    arguments = ["--suite", TOY, "--preset", "smoke", "--seeds", "2", "--threads", "1"]
    subprocess.run(
        [sys.executable, "-m", "bench", "run", *arguments, "--runs", str(runs), *options],
        check=True,
        capture_output=True,
        env={**os.environ, "OMP_NUM_THREADS": "1", "UNRULY": str(runs)},
    )


def test_a_node_dies_while_it_works(cluster: Cluster, tmp_path: Path) -> None:
    """Its trial is done again by the other node, which goes on from the snapshot."""
    methods = ("--method", f"{PLUGINS}/unruly.py:Slow", "--method", "source-only")
    (cluster.folder / "slow").touch()
    process = cluster.bench(tmp_path / "ray", *methods)
    until = time.monotonic() + WAIT
    while len(begun := list(cluster.folder.glob("begun-*"))) < 2:
        assert process.poll() is None, process.communicate()
        assert time.monotonic() < until
        time.sleep(0.2)
    nodes = {psutil.Process(int(path.name.split("-")[2])).parent() for path in begun}
    assert len(nodes) == 2  # a trial on each
    node = nodes.pop()
    assert node is not None
    for one in (node, *node.children(recursive=True)):
        with contextlib.suppress(psutil.NoSuchProcess):
            one.kill()
    (cluster.folder / "slow").unlink()
    outcomes = answer(process)
    assert [outcome["status"] for outcome in outcomes] == ["done"] * 4
    assert len(list(cluster.folder.glob("begun-*"))) == 3
    serial(tmp_path / "serial", *methods)
    assert len(matrices(tmp_path / "serial")) == 4
    assert matrices(tmp_path / "ray") == matrices(tmp_path / "serial")


def test_a_mistake_is_no_traceback(cluster: Cluster, tmp_path: Path) -> None:
    process = cluster.bench(tmp_path, "--set", "source.lr=fast")
    _, err = process.communicate(timeout=WAIT)
    assert process.returncode == 2
    assert "source.lr" in err
    assert "Traceback" not in err


def test_no_cluster_there(cluster: Cluster, tmp_path: Path) -> None:
    process = cluster.bench(tmp_path, "--address", "127.0.0.1:1")
    _, err = process.communicate(timeout=WAIT)
    assert process.returncode == 2, err
    assert "No Ray cluster answers at 127.0.0.1:1" in err
    assert "Traceback" not in err


def test_no_machine_is_large_enough(cluster: Cluster, tmp_path: Path) -> None:
    process = cluster.bench(tmp_path, "--gpus", "2")
    _, err = process.communicate(timeout=WAIT)
    assert process.returncode == 2, err
    assert "No machine of the Ray cluster has the 1 CPUs and 2 GPUs" in err


def test_sigterm_stops_as_cleanly_as_ctrl_c(cluster: Cluster, tmp_path: Path) -> None:
    """Job schedulers send it; Ray's own handler would end the process at once."""
    for begun in cluster.folder.glob("begun-*"):
        begun.unlink()
    (cluster.folder / "slow").touch()
    process = cluster.bench(tmp_path, "--method", f"{PLUGINS}/unruly.py:Slow")
    until = time.monotonic() + WAIT
    while not list(cluster.folder.glob("begun-*")):
        assert process.poll() is None, process.communicate()
        assert time.monotonic() < until
        time.sleep(0.2)
    process.terminate()
    _, err = process.communicate(timeout=WAIT)
    (cluster.folder / "slow").unlink()
    assert process.returncode == 130, err
    assert "run the same command to go on" in err
    records = [json.loads(path.read_text()) for path in tmp_path.glob("*/run.json")]
    assert {record["status"] for record in records} == {"interrupted"}
