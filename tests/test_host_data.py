"""Splits, order and batches are pure functions of their seeds."""

import io
import os
import zipfile
from pathlib import Path

import numpy as np
import pytest

from cpt.host.data import (
    Images,
    load_images,
    save_images,
    shuffled,
    split,
    training_batches,
)
from cpt.host.errors import HostError
from cpt.hw.contract import ContractError


def numbered(count=50, classes=5):
    """Images whose every pixel is their number."""
    pixels = np.arange(count, dtype=np.float32)[:, None, None, None] * np.ones((1, 4, 4, 1), np.float32)
    return Images(pixels, (np.arange(count) % classes).astype(np.int64))


def numbers(batches):
    return [batch.pixels[:, 0, 0, 0].astype(int).tolist() for batch in batches]


def test_split_holds_out_the_same_share_of_each_class():
    data = split("numbers", numbered(), test_fraction=0.2, seed=3)
    assert np.bincount(data.test.labels).tolist() == [2] * 5
    assert np.bincount(data.train.labels).tolist() == [8] * 5
    assert not set(data.test.pixels[:, 0, 0, 0]) & set(data.train.pixels[:, 0, 0, 0])


def test_split_standardises_by_the_training_part_alone():
    data = split("numbers", numbered(), seed=3)
    assert data.train.pixels.mean() == pytest.approx(0, abs=1e-6)
    assert data.train.pixels.std() == pytest.approx(1, abs=1e-6)
    assert abs(data.test.pixels.mean()) > 1e-4


def test_split_depends_on_its_seed_only():
    first, again, other = (split("numbers", numbered(), seed=seed) for seed in (1, 1, 2))
    assert first.sha256() == again.sha256()
    assert first.sha256() != other.sha256()


def test_split_refuses_a_share_that_empties_a_class():
    with pytest.raises(ContractError, match=r"test fraction is 0\.01; allowed"):
        split("numbers", numbered(), test_fraction=0.01)


def test_every_epoch_is_another_permutation():
    orders = [shuffled(100, seed=1, epoch=epoch).tolist() for epoch in range(3)]
    assert all(sorted(order) == list(range(100)) for order in orders)
    assert orders[0] != orders[1] != orders[2]
    assert orders[0] == shuffled(100, seed=1, epoch=0).tolist()


def test_training_batches_are_whole_and_disjoint():
    batches = numbers(training_batches(numbered(50), 16, seed=0, epoch=0))
    assert [len(batch) for batch in batches] == [16, 16, 16]
    assert len({number for batch in batches for number in batch}) == 48


def test_skipping_goes_on_where_an_epoch_stopped():
    def pixels(skip):
        return [b.pixels for b in training_batches(numbered(), 16, seed=0, epoch=4, max_shift=1, skip=skip)]

    for whole, resumed in zip(pixels(0)[1:], pixels(1), strict=True):
        np.testing.assert_array_equal(whole, resumed)


def test_shift_moves_images_by_at_most_the_given_pixels():
    ramp = np.arange(64, dtype=np.float32).reshape(1, 8, 8, 1)
    images = Images(np.repeat(ramp, 200, 0), np.zeros(200, np.int64))
    (batch,) = training_batches(images, 200, seed=0, epoch=0, max_shift=2)
    inner = batch.pixels[:, 3, 3, 0] - ramp[0, 3, 3, 0]
    seen = {(round(value / 8), int(value - 8 * round(value / 8))) for value in inner}
    assert seen == {(row, col) for row in range(-2, 3) for col in range(-2, 3)}
    shifted = next(image for image, value in zip(batch.pixels, inner, strict=True) if value == 8 + 1)
    np.testing.assert_array_equal(shifted[:-1, :-1], ramp[0, 1:, 1:])


def test_a_moved_image_has_its_nearest_border_pixels_however_far_it_moves():
    still = np.arange(40, dtype=np.uint8).reshape(4, 5, 2)
    images = Images(np.repeat(still[None], 2000, 0), np.zeros(2000, np.int64))
    (batch,) = training_batches(images, 2000, seed=1, epoch=0, max_shift=6)
    allowed = {
        still[np.clip(np.arange(4) + down, 0, 3)][:, np.clip(np.arange(5) + right, 0, 4)].tobytes()
        for down in range(-6, 7)
        for right in range(-6, 7)
    }
    assert batch.pixels.dtype == np.uint8
    assert {image.tobytes() for image in batch.pixels} == allowed


def test_saved_images_come_back(tmp_path):
    save_images(tmp_path / "numbers.npz", numbered())
    images = load_images(tmp_path / "numbers.npz")
    np.testing.assert_array_equal(images.pixels, numbered().pixels)
    np.testing.assert_array_equal(images.labels, numbered().labels)


GREY = np.zeros((2, 4, 4, 1))


@pytest.mark.parametrize(
    ("entries", "reason"),
    [
        ({"pixels": np.zeros((2, 4, 4, 1))}, "labels is missing"),
        ({"pixels": np.zeros((2, 4, 4, 1)), "labels": np.array([0.5, 1])}, "hold float64 and float64"),
        ({"pixels": GREY, "labels": np.array([-1, 1])}, r"have labels -1\.\.1; allowed"),
        ({"pixels": GREY, "labels": np.array([0, 2**62])}, r"have labels 0\.\.4611686018427387904; allowed"),
        ({"pixels": GREY, "labels": np.array([0, 1])}, "have one value, 0, in all pixels"),
        ({"pixels": GREY + np.nan, "labels": np.array([0, 1])}, r"not finite \(image 0\)"),
        ({"pixels": GREY + 1e300, "labels": np.array([0, 1])}, r"not finite \(image 0\)"),
        ({"pixels": GREY[0], "labels": np.array([0, 1])}, r"have shape \(4, 4, 1\) and labels \(2,\)"),
        ({"pixels": GREY[:0], "labels": np.array([0, 1])[:0]}, "allowed: at least one image"),
        ({"pixels": GREY.astype(object), "labels": np.array([0, 1])}, "holds no plain numbers"),
        ({"pixels": GREY.astype("U3"), "labels": np.array([0, 1])}, "hold <U3 and int64"),
    ],
)
def test_files_without_images_are_refused(tmp_path, entries, reason):
    np.savez(tmp_path / "odd.npz", **entries)
    with pytest.raises(HostError, match=reason):
        load_images(tmp_path / "odd.npz")


def test_images_and_labels_must_match():
    with pytest.raises(ContractError, match=r"labels \(3,\); allowed"):
        Images(np.zeros((2, 4, 4, 1), np.float32), np.zeros(3, np.int64))


def test_a_file_that_claims_more_than_fits_is_refused_before_it_is_unpacked(tmp_path):
    path = tmp_path / "huge.npz"
    header = io.BytesIO()
    np.lib.format.write_array_header_1_0(
        header, {"descr": "|u1", "fortran_order": False, "shape": (1 << 50, 8, 8, 1)}
    )
    with zipfile.ZipFile(path, "w") as archive:
        archive.writestr("pixels.npy", header.getvalue())
    with pytest.raises(HostError, match=r"huge\.npz cannot be read"):
        load_images(path)
    packed = bytearray(path.read_bytes())
    # the unpacked size in the archive's directory
    place = packed.rindex(b"PK\x01\x02") + 24
    packed[place : place + 4] = b"\xfe\xff\xff\xff"
    path.write_bytes(packed)
    with pytest.raises(HostError, match=r"huge\.npz cannot be read"):
        load_images(path)


def test_an_encrypted_archive_is_refused_in_one_line(tmp_path):
    path = tmp_path / "secret.npz"
    save_images(path, numbered())
    packed = bytearray(path.read_bytes())
    for start, flags in ((b"PK\x03\x04", 6), (b"PK\x01\x02", 8)):
        at = packed.find(start)
        while at >= 0:
            packed[at + flags] |= 1
            at = packed.find(start, at + 4)
    path.write_bytes(packed)
    with pytest.raises(HostError, match=r"secret\.npz cannot be read \(.*encrypted"):
        load_images(path)


def test_pipes_and_devices_are_refused_without_waiting(tmp_path):
    os.mkfifo(tmp_path / "pipe.npz")
    for path in (tmp_path / "pipe.npz", Path("/dev/zero")):
        with pytest.raises(HostError, match="it is no regular file"):
            load_images(path)
    with pytest.raises(HostError, match="null byte"):
        load_images(Path("a\0b.npz"))
