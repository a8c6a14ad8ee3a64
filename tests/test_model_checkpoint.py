"""Checkpoints: whole or refused, written or not at all."""

import errno
import io
import json
import os
import zipfile

import numpy as np
import pytest
from damage import damage

from cpt.model import checkpoint
from cpt.model.checkpoint import CheckpointError
from cpt.model.files import write_atomically
from cpt.model.npz import NpzError, read_npz

ARRAYS = {
    "weight": np.arange(12, dtype=np.float32).reshape(3, 4),
    "scalar": np.float32(3).reshape(()),
    "empty": np.empty((0, 2), np.int64),
}
META = {"step": 7, "name": "run", "bits": [3, 8]}


@pytest.fixture
def saved(tmp_path):
    path = tmp_path / "folder" / "checkpoint.npz"
    checkpoint.save(path, ARRAYS, META)
    return path


def test_arrays_and_meta_come_back_unchanged(saved):
    arrays, meta = checkpoint.load(saved)
    assert meta == META
    assert set(arrays) == set(ARRAYS)
    for name, array in ARRAYS.items():
        assert arrays[name].dtype == array.dtype
        np.testing.assert_array_equal(arrays[name], array)


def test_nothing_but_the_checkpoint_is_left_in_the_folder(saved):
    checkpoint.save(saved, ARRAYS, META)
    assert os.listdir(saved.parent) == ["checkpoint.npz"]


def test_a_missing_file_is_named(tmp_path):
    with pytest.raises(CheckpointError, match=r"gone\.npz does not exist"):
        checkpoint.load(tmp_path / "gone.npz")


@pytest.mark.parametrize("keep", [0, 1, 10, 200, 0.5, 0.9, 0.999])
def test_a_truncated_file_is_refused_in_one_line(saved, keep):
    data = saved.read_bytes()
    saved.write_bytes(data[: keep if isinstance(keep, int) else int(keep * len(data))])
    with pytest.raises(CheckpointError, match="damaged") as caught:
        checkpoint.load(saved)
    assert "\n" not in str(caught.value)


def test_any_flipped_bit_of_the_contents_is_noticed(saved):
    data = bytearray(saved.read_bytes())
    rng = np.random.default_rng(0)
    refused = 0
    for position in rng.choice(len(data), 200, replace=False):
        damaged = bytearray(data)
        damaged[position] ^= 1 << int(rng.integers(8))
        saved.write_bytes(damaged)
        try:
            arrays, meta = checkpoint.load(saved)
        except CheckpointError:
            refused += 1
        else:  # a byte of the archive that carries no content, such as a time stamp
            assert meta == META
            assert all(np.array_equal(arrays[name], ARRAYS[name]) for name in ARRAYS)
    assert refused > 100


def rewrite(path, change):
    """Rewrite the archive with ``change(entries)`` applied to its {name: array}."""
    with np.load(path) as file:
        entries = {name: file[name] for name in file.files}
    change(entries)
    np.savez(path, **entries)


def test_an_array_that_differs_from_its_hash_is_named(saved):
    rewrite(saved, lambda entries: entries["weight"].__setitem__((0, 0), 99))
    with pytest.raises(CheckpointError, match="weight differs from its hash"):
        checkpoint.load(saved)


def test_a_missing_array_is_noticed(saved):
    rewrite(saved, lambda entries: entries.pop("scalar"))
    with pytest.raises(CheckpointError, match="arrays are missing"):
        checkpoint.load(saved)


def test_another_format_is_refused(saved):
    def other_format(entries):
        manifest = json.loads(entries["manifest"].tobytes())
        manifest["format"] = 99
        entries["manifest"] = np.frombuffer(json.dumps(manifest).encode(), np.uint8)

    rewrite(saved, other_format)
    with pytest.raises(CheckpointError, match="has format 99; allowed: 1"):
        checkpoint.load(saved)


def test_pickled_objects_are_never_loaded(tmp_path):
    class Trap:
        def __reduce__(self):
            return os.mkdir, (str(tmp_path / "sprung"),)

    path = tmp_path / "trap.npz"
    np.savez(path, manifest=np.array([Trap()], dtype=object))
    with pytest.raises(CheckpointError, match="damaged"):
        checkpoint.load(path)
    assert not (tmp_path / "sprung").exists()


@pytest.mark.parametrize("content", [b"PK\x03\x04nonsense", b"not an archive at all", b"\x93NUMPY"])
def test_other_files_are_refused(tmp_path, content):
    path = tmp_path / "other.npz"
    path.write_bytes(content)
    with pytest.raises(CheckpointError, match="damaged"):
        checkpoint.load(path)


def test_an_archive_without_manifest_is_refused(tmp_path):
    path = tmp_path / "plain.npz"
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w") as archive:
        archive.writestr("readme.txt", "hello")
    path.write_bytes(buffer.getvalue())
    with pytest.raises(CheckpointError, match="damaged"):
        checkpoint.load(path)


def test_a_full_disk_leaves_the_old_file_and_no_trace(tmp_path, monkeypatch):
    path = tmp_path / "file"
    write_atomically(path, b"old")

    def full(descriptor):
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    monkeypatch.setattr(os, "fsync", full)
    with pytest.raises(OSError, match=r"cannot write .*file: No space left on device"):
        write_atomically(path, b"new" * 1000)
    assert os.listdir(tmp_path) == ["file"]
    assert path.read_bytes() == b"old"


def test_whatever_the_damage_the_checkpoint_before_is_found_or_one_line_given():
    """A thousand are ``python tests/damage.py --count 1000``."""
    result = damage(count=90, seed=8)
    assert result["wrong"] == []
    assert {"previous", "one line", "images refused"} <= set(result["happened"])


def test_a_checkpoint_that_is_gone_is_replaced_by_the_one_before(tmp_path):
    path = tmp_path / "checkpoint.npz"
    for step in range(2):
        checkpoint.save_keeping_previous(path, ARRAYS, {"step": step})
    path.unlink()
    passed_over = []
    assert checkpoint.load_newest(path, passed_over.append)[1] == {"step": 0}
    assert "does not exist" in str(passed_over[0])


def test_saving_after_a_damaged_checkpoint_keeps_the_whole_one(tmp_path):
    path = tmp_path / "checkpoint.npz"
    for step in range(2):
        checkpoint.save_keeping_previous(path, ARRAYS, {"step": step})
    path.write_bytes(b"damaged")
    checkpoint.load_newest(path)
    checkpoint.set_aside(path)
    checkpoint.save_keeping_previous(path, ARRAYS, {"step": 2})
    assert checkpoint.load(checkpoint.previous(path))[1] == {"step": 0}
    assert checkpoint.load(path)[1] == {"step": 2}
    assert checkpoint.damaged(path).read_bytes() == b"damaged"


@pytest.mark.parametrize("name", ["fifo", "folder", "nul\0", "gone"])
def test_what_is_no_file_is_never_waited_for(tmp_path, name):
    os.mkfifo(tmp_path / "fifo")
    (tmp_path / "folder").mkdir()
    with pytest.raises(NpzError):
        read_npz(tmp_path / name)


def test_arrays_said_to_be_larger_than_the_file_can_hold_take_no_memory(tmp_path):
    path = tmp_path / "bomb.npz"
    header = b"\x93NUMPY\x01\x00" + (118).to_bytes(2, "little")
    text = b"{'descr': '<f8', 'fortran_order': False, 'shape': (1000000000000,), }"
    with zipfile.ZipFile(path, "w") as archive:
        archive.writestr("a.npy", header + text.ljust(117) + b"\n")
    with pytest.raises(NpzError, match="has another size"):
        read_npz(path)
