"""Looking after data files: absent, truncated, corrupted, fetched from a real local server."""

from __future__ import annotations

import contextlib
import dataclasses
import gzip
import hashlib
import json
import os
import socket
import stat
import threading
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import TYPE_CHECKING, ClassVar

import pytest
import torch
from PIL import Image

from bench.data import manage, store
from bench.data.camvid import CamVid
from bench.data.domain import DataFile, Domain, Scenes, Split
from bench.data.handwritten import Handwritten
from bench.data.mnist import MNIST
from bench.data.svhn import SVHN
from bench.data.usps import USPS
from bench.errors import BenchError, MissingDataError

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

    from torch import Tensor

CONTENT = b"the official content of a file " * 500


def md5(content: bytes) -> str:
    return hashlib.md5(content, usedforsecurity=False).hexdigest()


class Toy:
    """A domain whose pixels are the bytes of its files."""

    classes: ClassVar[int] = 2

    def __init__(self, *files: DataFile) -> None:
        self.files = files

    def images(self, root: Path, split: Split) -> Tensor:
        content = b"".join(store.read(root, file, "toy") for file in self.files)
        return torch.tensor(list(content), dtype=torch.uint8).view(-1, 1, 1, 1)

    def labels(self, root: Path, split: Split) -> Tensor:
        return torch.zeros(len(self.images(root, split)), dtype=torch.int64)


def toy_file(*urls: str, packed: bytes | None = None) -> DataFile:
    packed_md5 = md5(packed) if packed else None
    return DataFile("TOY/a.bin", md5(CONTENT), len(CONTENT), urls, packed_md5)


class _Handler(BaseHTTPRequestHandler):
    """/good, /cut (promises more than it sends), /wrong, /file.gz, /cut.gz; else 404."""

    packed = gzip.compress(CONTENT, mtime=0)
    asked: ClassVar[list[str]] = []

    def do_GET(self) -> None:
        self.asked.append(self.path)
        bodies = {
            "/good": CONTENT,
            "/cut": CONTENT[:1000],
            "/wrong": CONTENT.replace(b"official", b"altered!"),
            "/file.gz": self.packed,
            "/cut.gz": self.packed[:50],
        }
        body = bodies.get(self.path)
        if body is None:
            self.send_error(404)
            return
        self.send_response(200)
        promised = len(CONTENT) if self.path == "/cut" else len(body)
        self.send_header("Content-Length", str(promised))
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, *_: object) -> None:
        """Stay quiet."""


@pytest.fixture
def server() -> Iterator[str]:
    _Handler.asked.clear()
    with ThreadingHTTPServer(("127.0.0.1", 0), _Handler) as running:
        thread = threading.Thread(target=running.serve_forever)
        thread.start()
        yield f"http://127.0.0.1:{running.server_port}"
        running.shutdown()
        thread.join()


def everything_in(folder: Path) -> set[str]:
    return {str(path.relative_to(folder)) for path in folder.rglob("*") if path.is_file()}


# ------------------------------------------------------------------ fetch


def test_fetch_places_a_verified_file(server: str, tmp_path: Path) -> None:
    domain = Toy(toy_file(f"{server}/good"))
    reports = manage.fetch({"toy": domain}, tmp_path)
    assert [report.state for report in reports] == ["sound"]
    assert everything_in(tmp_path) == {"TOY/a.bin"}
    assert (tmp_path / "TOY/a.bin").read_bytes() == CONTENT
    assert stat.S_IMODE((tmp_path / "TOY/a.bin").stat().st_mode) & 0o400
    assert manage.missing(domain, tmp_path) == []


def test_fetch_unpacks_an_archive(server: str, tmp_path: Path) -> None:
    file = toy_file(f"{server}/file.gz", packed=_Handler.packed)
    manage.fetch({"toy": Toy(file)}, tmp_path)
    assert everything_in(tmp_path) == {"TOY/a.bin"}
    assert (tmp_path / "TOY/a.bin").read_bytes() == CONTENT


def test_a_sound_file_is_not_fetched_again(server: str, tmp_path: Path) -> None:
    domain = Toy(toy_file(f"{server}/good"))
    manage.fetch({"toy": domain}, tmp_path)
    asked = list(_Handler.asked)
    manage.fetch({"toy": domain}, tmp_path)
    assert _Handler.asked == asked


def test_a_damaged_file_is_replaced(server: str, tmp_path: Path) -> None:
    (tmp_path / "TOY").mkdir()
    (tmp_path / "TOY/a.bin").write_bytes(CONTENT[:-1])
    manage.fetch({"toy": Toy(toy_file(f"{server}/good"))}, tmp_path)
    assert (tmp_path / "TOY/a.bin").read_bytes() == CONTENT


def test_mirrors_are_tried_in_turn(server: str, tmp_path: Path) -> None:
    urls = [f"{server}/{name}" for name in ("absent", "cut", "wrong", "good")]
    manage.fetch({"toy": Toy(toy_file(*urls))}, tmp_path)
    assert everything_in(tmp_path) == {"TOY/a.bin"}
    assert list(dict.fromkeys(_Handler.asked)) == ["/absent", "/cut", "/wrong", "/good"]


@pytest.mark.parametrize(
    ("name", "wrong"),
    [
        ("absent", "404"),
        ("cut", rf"expected md5 {md5(CONTENT)}, got 1,000 bytes"),
        ("wrong", rf"got {len(CONTENT):,} bytes with md5"),
    ],
)
def test_a_failed_download_leaves_nothing(
    name: str, wrong: str, server: str, tmp_path: Path
) -> None:
    domain = Toy(toy_file(f"{server}/{name}"))
    with pytest.raises(MissingDataError, match=wrong) as caught:
        manage.fetch({"toy": domain}, tmp_path)
    assert everything_in(tmp_path) == set()
    message = str(caught.value)
    assert f"{server}/{name}" in message
    assert str(tmp_path / "TOY/a.bin") in message
    assert "bench data verify toy" in message


def test_a_failed_download_leaves_an_older_file_alone(server: str, tmp_path: Path) -> None:
    (tmp_path / "TOY").mkdir()
    (tmp_path / "TOY/a.bin").write_bytes(b"old")
    with pytest.raises(MissingDataError):
        manage.fetch({"toy": Toy(toy_file(f"{server}/cut"))}, tmp_path)
    assert (tmp_path / "TOY/a.bin").read_bytes() == b"old"
    assert everything_in(tmp_path) == {"TOY/a.bin"}


def test_a_truncated_archive_is_refused_even_with_its_own_checksum(
    server: str, tmp_path: Path
) -> None:
    file = toy_file(f"{server}/cut.gz", packed=_Handler.packed[:50])
    with pytest.raises(MissingDataError, match="could not be downloaded"):
        manage.fetch({"toy": Toy(file)}, tmp_path)
    assert everything_in(tmp_path) == set()


def test_an_archive_of_something_else_is_refused(server: str, tmp_path: Path) -> None:
    file = dataclasses.replace(
        toy_file(f"{server}/file.gz", packed=_Handler.packed), md5=md5(b"something else")
    )
    with pytest.raises(MissingDataError, match="expected md5"):
        manage.fetch({"toy": Toy(file)}, tmp_path)
    assert everything_in(tmp_path) == set()


def test_without_a_network_one_sentence_says_what_to_do(tmp_path: Path) -> None:
    with contextlib.closing(socket.socket()) as reserved:
        reserved.bind(("127.0.0.1", 0))  # bound but not listening: connections are refused
        url = f"http://127.0.0.1:{reserved.getsockname()[1]}/a.bin"
        with pytest.raises(MissingDataError) as caught:
            manage.fetch({"toy": Toy(toy_file(url))}, tmp_path)
    message = str(caught.value)
    assert "refused" in message
    assert f"download {url}, put it at {tmp_path / 'TOY/a.bin'}" in message


def test_a_silent_mirror_is_given_up(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(manage, "TIMEOUT", 0.2)
    with contextlib.closing(socket.create_server(("127.0.0.1", 0))) as silent:
        url = f"http://127.0.0.1:{silent.getsockname()[1]}/a.bin"
        with pytest.raises(MissingDataError, match="timed out"):
            manage.fetch({"toy": Toy(toy_file(url))}, tmp_path)
    assert socket.getdefaulttimeout() is None


def test_offline_asks_nobody(server: str, tmp_path: Path) -> None:
    with pytest.raises(MissingDataError, match="is not there"):
        manage.fetch({"toy": Toy(toy_file(f"{server}/good"))}, tmp_path, offline=True)
    assert _Handler.asked == []


def test_a_file_that_cannot_be_fetched_says_where_to_put_it(tmp_path: Path) -> None:
    with pytest.raises(MissingDataError, match="Get the original file and put it at"):
        manage.fetch({"toy": Toy(toy_file())}, tmp_path)


def test_a_data_folder_that_cannot_be_written_is_named(server: str, tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    with pytest.raises(BenchError, match="cannot be written.*--data"):
        manage.fetch({"toy": Toy(toy_file(f"{server}/good"))}, tmp_path / "file")


def test_no_progress_bar_without_a_terminal(
    server: str, tmp_path: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    manage.fetch({"toy": Toy(toy_file(f"{server}/good"))}, tmp_path)
    assert capfd.readouterr() == ("", "")


# ------------------------------------------------------------------ what is there


@pytest.mark.parametrize(
    "content", [CONTENT[:-1], CONTENT + b"x", CONTENT.replace(b"official", b"0fficial"), b""]
)
def test_a_damaged_file_is_never_read_as_good(content: bytes, tmp_path: Path) -> None:
    domain = Toy(toy_file("http://example.invalid/a.bin"))
    (tmp_path / "TOY").mkdir()
    (tmp_path / "TOY/a.bin").write_bytes(content)
    with pytest.raises(MissingDataError) as caught:
        domain.images(tmp_path, "train")
    message = str(caught.value)
    for part in (
        str(tmp_path / "TOY/a.bin"),
        f"{len(CONTENT):,} bytes",
        md5(CONTENT),
        f"{len(content):,} bytes",
        md5(content),
        "bench data fetch toy",
        "http://example.invalid/a.bin",
    ):
        assert part in message
    assert [report.state for report in manage.verify({"toy": domain}, tmp_path)] == ["damaged"]
    assert manage.missing(domain, tmp_path) == [message]


def test_status_notices_a_wrong_size_without_reading(tmp_path: Path) -> None:
    domains = {"toy": Toy(toy_file())}
    (tmp_path / "TOY").mkdir()
    states = {}
    for content in (CONTENT, CONTENT[:-1]):
        (tmp_path / "TOY/a.bin").write_bytes(content)
        (report,) = manage.status(domains, tmp_path)
        states[content] = report.state
    assert states == {CONTENT: "present", CONTENT[:-1]: "damaged"}


def test_an_archive_serves_as_the_file(tmp_path: Path) -> None:
    file = toy_file("http://example.invalid/a.bin.gz", packed=_Handler.packed)
    (tmp_path / "TOY").mkdir()
    archive = tmp_path / "TOY/a.bin.gz"
    # Packed by another program at another time: other bytes, the same content.
    archive.write_bytes(gzip.compress(CONTENT, compresslevel=1, mtime=77))
    assert store.read(tmp_path, file, "toy") == CONTENT
    (report,) = manage.verify({"toy": Toy(file)}, tmp_path)
    assert (report.state, report.path) == ("sound", str(archive))


@pytest.mark.parametrize(
    "content", [b"", b"no archive", _Handler.packed[:-20], gzip.compress(b"another file", mtime=0)]
)
def test_a_damaged_archive_is_named(content: bytes, tmp_path: Path) -> None:
    file = toy_file("http://example.invalid/a.bin.gz", packed=_Handler.packed)
    (tmp_path / "TOY").mkdir()
    (tmp_path / "TOY/a.bin.gz").write_bytes(content)
    with pytest.raises(MissingDataError, match=r"a\.bin\.gz (is truncated|cannot be read)"):
        store.read(tmp_path, file, "toy")


def test_a_re_encoded_file_is_accepted_and_said_to_be_so(tmp_path: Path) -> None:
    other = b"other bytes, same content"
    file = dataclasses.replace(toy_file(), also={md5(other): "Compressed anew."})
    (tmp_path / "TOY").mkdir()
    (tmp_path / "TOY/a.bin").write_bytes(other)
    (report,) = manage.verify({"toy": Toy(file)}, tmp_path)
    assert (report.state, report.detail) == ("re-encoded", "Compressed anew.")
    assert store.read(tmp_path, file, "toy") == other
    (report,) = manage.status({"toy": Toy(file)}, tmp_path)
    assert report.usable


@pytest.mark.skipif(os.geteuid() == 0, reason="root may read everything")
def test_a_file_that_may_not_be_read_is_named(tmp_path: Path) -> None:
    (tmp_path / "TOY").mkdir()
    (tmp_path / "TOY/a.bin").write_bytes(CONTENT)
    (tmp_path / "TOY/a.bin").chmod(0)
    with pytest.raises(MissingDataError, match=r"a\.bin cannot be read"):
        store.read(tmp_path, toy_file(), "toy")


@pytest.mark.parametrize("domain", [MNIST(), USPS(), SVHN()])
def test_an_empty_folder_lacks_every_file(domain: MNIST | USPS | SVHN, tmp_path: Path) -> None:
    name = type(domain).__name__.lower()
    sentences = manage.missing(domain, tmp_path)
    assert len(sentences) == len(domain.files)
    for sentence, file in zip(sentences, domain.files, strict=True):
        assert str(tmp_path / file.path) in sentence
        assert f"bench data fetch {name}" in sentence
        assert file.urls[0] in sentence
    for read in (domain.images, domain.labels):
        with pytest.raises(MissingDataError, match=f"bench data fetch {name}"):
            read(tmp_path, "train")


def test_an_embedded_domain_is_always_there(tmp_path: Path) -> None:
    assert manage.missing(Handwritten(), tmp_path) == []
    for look in (manage.status, manage.verify, manage.fetch):
        (report,) = look({"handwritten": Handwritten()}, tmp_path)
        assert (report.domain, report.path, report.state) == ("handwritten", "", "embedded")
    assert everything_in(tmp_path) == set()


def test_reports_can_be_written_as_json(tmp_path: Path) -> None:
    domains: dict[str, Domain] = {"mnist": MNIST(), "handwritten": Handwritten()}
    rows = [dataclasses.asdict(report) for report in manage.status(domains, tmp_path)]
    assert [set(row) for row in json.loads(json.dumps(rows))] == [
        {"domain", "path", "state", "detail"}
    ] * 5


def test_the_default_folder_is_the_users() -> None:
    assert manage.default_root().name == "cycada-bench"
    assert manage.default_root().is_absolute()


# ------------------------------------------------------------------ large images


class Drawn(CamVid):
    """Two images to train on and one to test, which the domain makes itself."""

    size: ClassVar[tuple[int, int]] = (3, 4)
    counts: ClassVar[Mapping[str, int]] = {"train": 2, "test": 1}

    def prepare(self, root: Path) -> None:
        for name in ("train/1", "train/2", "test/3"):
            split, stem = name.split("/")
            for folder, mode in ((split, "RGB"), (f"{split}annot", "L")):
                (root / "camvid" / folder).mkdir(parents=True, exist_ok=True)
                Image.new(mode, (4, 3)).save(root / "camvid" / folder / f"{stem}.png")


def test_large_images_are_reported_once_if_all_is_well(tmp_path: Path) -> None:
    domains: dict[str, Domain | Scenes] = {"camvid": Drawn()}
    assert [report.state for report in manage.status(domains, tmp_path)] == ["absent"]
    assert manage.missing(Drawn(), tmp_path) != []
    (report,) = manage.fetch(domains, tmp_path, offline=True)
    assert (report.domain, report.state) == ("camvid", "present")
    assert manage.missing(Drawn(), tmp_path) == []
    (report,) = manage.verify(domains, tmp_path)
    assert (report.path, report.state) == (str(tmp_path / "camvid"), "sound")


def test_each_broken_large_image_is_named_by_verify_only(tmp_path: Path) -> None:
    Drawn().prepare(tmp_path)
    path = tmp_path / "camvid/train/2.png"
    path.write_bytes(path.read_bytes()[:-9])
    assert [report.state for report in manage.status({"camvid": Drawn()}, tmp_path)] == ["present"]
    broken, whole = manage.verify({"camvid": Drawn()}, tmp_path)
    assert (broken.path, broken.state) == (str(path), "damaged")
    assert f"{path} is truncated" in broken.detail
    assert not whole.usable


def test_large_images_that_a_user_must_place_do_not_keep_others_from_being_fetched(
    server: str, tmp_path: Path
) -> None:
    domains: dict[str, Domain | Scenes] = {
        "camvid": CamVid(),
        "toy": Toy(toy_file(f"{server}/good")),
    }
    reports = manage.fetch(domains, tmp_path, required=False)
    assert [(report.domain, report.state) for report in reports] == [
        ("camvid", "absent"),
        ("toy", "sound"),
    ]
    (tmp_path / "TOY/a.bin").unlink()
    with pytest.raises(MissingDataError, match="camvid is not there. Get CamVid"):
        manage.fetch(domains, tmp_path)
    assert everything_in(tmp_path) == {"TOY/a.bin"}


def test_many_missing_large_images_make_a_short_error(tmp_path: Path) -> None:
    Drawn().prepare(tmp_path)
    for number in range(10, 20):
        Image.new("RGB", (4, 3)).save(tmp_path / f"camvid/train/{number}.png")

    class Placed(Drawn):
        def prepare(self, root: Path) -> None:
            pass

    with pytest.raises(MissingDataError) as caught:
        manage.fetch({"camvid": Placed()}, tmp_path)
    message = str(caught.value)
    assert message.count("has no label map") == 3
    assert "And 7 more: `bench data status camvid` names them." in message
    assert "10 of its files are missing or broken" in message


# ------------------------------------------------------------------ checksums


def test_checksums_and_addresses_are_torchvisions() -> None:
    from torchvision import datasets

    packed = {Path(f.path).name + ".gz": f.packed_md5 for f in MNIST.files}
    assert packed == dict(datasets.MNIST.resources)
    for file in MNIST.files:
        name = f"{Path(file.path).name}.gz"
        assert list(file.urls) == [f"{mirror}{name}" for mirror in datasets.MNIST.mirrors]
    for ours, theirs in ((USPS, datasets.USPS), (SVHN, datasets.SVHN)):
        wanted = [tuple(theirs.split_list[split]) for split in ("train", "test")]
        assert [(f.urls[0], Path(f.path).name, f.md5) for f in ours.files] == wanted
