"""Image data sets, read from small files written in their published formats."""

import io
import os
import pickle
import pickletools
from pathlib import Path

import numpy as np
import pytest
from PIL import Image
from scipy.io import savemat

from cpt.model.data import DataError, ImageArrays, ImageFolder, ImageSet, load_cifar, load_svhn, shuffled
from cpt.model.data.decode import open_rgb
from cpt.model.data.images import augment
from cpt.model.data.order import draws
from cpt.model.data.source import read_bytes

RNG = np.random.default_rng(11)
TRAIN_10 = [f"data_batch_{number}" for number in range(1, 6)]


def planes(count):
    """Pixels as CIFAR stores them: (N, 3072), and as they are used: (N, 32, 32, 3)."""
    images = RNG.integers(0, 256, (count, 32, 32, 3), dtype=np.uint8)
    return np.ascontiguousarray(images.transpose(0, 3, 1, 2).reshape(count, -1)), images


def write_binary(folder, names, classes):
    folder.mkdir(parents=True)
    found = {}
    for name in names:
        data, images = planes(4)
        labels = RNG.integers(0, classes, 4)
        heads = [labels] if classes == 10 else [labels // 5, labels]
        records = np.concatenate([*(head[:, None].astype(np.uint8) for head in heads), data], 1)
        (folder / f"{name}.bin").write_bytes(records.tobytes())
        found[name] = images, labels
    return found


def python2_pickle(content):
    """``content`` as Python 2 pickled it: protocol 2 with byte strings, numpy's old module names."""
    text = pickle.dumps(content, protocol=2)
    return text.replace(b"cnumpy._core.multiarray\n", b"cnumpy.core.multiarray\n")


def write_pickles(folder, names, classes):
    folder.mkdir(parents=True)
    found = {}
    key = b"labels" if classes == 10 else b"fine_labels"
    for name in names:
        data, images = planes(3)
        labels = [int(label) for label in RNG.integers(0, classes, 3)]
        content = {b"data": data, key: labels, b"batch_label": b"training", b"filenames": [b"a.png"] * 3}
        (folder / name).write_bytes(python2_pickle(content))
        found[name] = images, np.array(labels)
    return found


@pytest.mark.parametrize(
    ("classes", "write", "folder"),
    [
        (10, write_binary, "cifar-10-batches-bin"),
        (100, write_binary, "cifar-100-binary"),
        (10, write_pickles, "cifar-10-batches-py"),
        (100, write_pickles, "cifar-100-python"),
    ],
)
def test_cifar_is_read_from_both_published_formats(tmp_path, classes, write, folder):
    train, test = (TRAIN_10, ["test_batch"]) if classes == 10 else (["train"], ["test"])
    written = write(tmp_path / folder, [*train, *test], classes)
    for root in (tmp_path, tmp_path / folder):
        found = load_cifar(root, classes)
        np.testing.assert_array_equal(found.train.pixels, np.concatenate([written[n][0] for n in train]))
        np.testing.assert_array_equal(found.train.labels, np.concatenate([written[n][1] for n in train]))
        np.testing.assert_array_equal(found.test.pixels, written[test[0]][0])
        np.testing.assert_array_equal(found.test.labels, written[test[0]][1])
        assert found.classes == classes


class Malicious:
    """Runs a command when an ordinary unpickler reads it."""

    def __init__(self, path):
        self.path = path

    def __reduce__(self):
        return os.mkdir, (self.path,)


def test_a_pickle_that_calls_anything_else_is_refused_before_it_runs(tmp_path):
    folder, trap = tmp_path / "cifar-10-batches-py", tmp_path / "trap"
    write_pickles(folder, [*TRAIN_10, "test_batch"], 10)
    (folder / "data_batch_3").write_bytes(pickle.dumps({b"data": Malicious(str(trap))}, protocol=2))
    with pytest.raises(DataError, match=r"pickle names \w+\.mkdir; allowed: numpy arrays"):
        load_cifar(tmp_path, 10)
    assert not trap.exists()
    pickle.loads((folder / "data_batch_3").read_bytes())
    assert trap.exists()


def test_generated_pickles_name_what_the_published_ones_name():
    names = {
        argument
        for opcode, argument, _ in pickletools.genops(python2_pickle({b"data": planes(1)[0]}))
        if opcode.name == "GLOBAL"
    }
    assert names == {
        "numpy.core.multiarray _reconstruct",
        "numpy ndarray",
        "numpy dtype",
        "_codecs encode",
    }


@pytest.mark.parametrize("keep", [0, 3072, 5000])
def test_a_truncated_binary_batch_is_named(tmp_path, keep):
    folder = tmp_path / "cifar-100-binary"
    write_binary(folder, ["train", "test"], 100)
    path = folder / "train.bin"
    path.write_bytes(path.read_bytes()[:keep])
    with pytest.raises(DataError, match=rf"train\.bin has {keep} bytes; allowed: records of 3074"):
        load_cifar(tmp_path, 100)


def test_a_truncated_pickle_is_named(tmp_path):
    folder = tmp_path / "cifar-100-python"
    write_pickles(folder, ["train", "test"], 100)
    path = folder / "test"
    path.write_bytes(path.read_bytes()[:-200])
    with pytest.raises(DataError, match=r"cifar-100-python/test is damaged"):
        load_cifar(tmp_path, 100)


def test_missing_files_are_named(tmp_path):
    with pytest.raises(DataError, match="data has no data_batch_1 in"):
        load_cifar(tmp_path, 10)


def test_svhn_is_read_from_matlab_files_with_ten_as_zero(tmp_path):
    written = {}
    for part in ("train", "test"):
        pixels = RNG.integers(0, 256, (5, 32, 32, 3), dtype=np.uint8)
        labels = np.array([10, 1, 9, 2, 10], np.uint8)
        savemat(tmp_path / f"{part}_32x32.mat", {"X": pixels.transpose(1, 2, 3, 0), "y": labels[:, None]})
        written[part] = pixels
    found = load_svhn(tmp_path)
    np.testing.assert_array_equal(found.train.pixels, written["train"])
    np.testing.assert_array_equal(found.test.pixels, written["test"])
    assert found.train.labels.tolist() == [0, 1, 9, 2, 0]
    assert not found.flip
    (tmp_path / "test_32x32.mat").write_bytes(b"no MATLAB file")
    with pytest.raises(DataError, match=r"test_32x32\.mat cannot be read"):
        load_svhn(tmp_path)


@pytest.fixture
def image_folder(tmp_path):
    """Three classes of differently shaped JPEG files, each of one colour."""
    for part, count in (("train", 3), ("val", 2)):
        for label, name in enumerate(("n01", "n02", "n03")):
            (tmp_path / part / name).mkdir(parents=True)
            for number in range(count):
                colour = (80 * label, 40, 200)
                image = Image.new("RGB", (60 + 7 * number, 50 + 11 * label), colour)
                image.save(tmp_path / part / name / f"{name}_{number}.JPEG")
    return ImageFolder(tmp_path, side=32)


def test_imagenet_folders_give_classes_and_decoded_images(image_folder):
    assert image_folder.classes == 3
    assert (len(image_folder.train), len(image_folder.test)) == (9, 6)
    for pixels, labels in (
        image_folder.train_batch(np.arange(9), seed=1, epoch=0),
        image_folder.test_batch(np.arange(6)),
    ):
        assert pixels.shape[1:] == (32, 32, 3)
        assert pixels.dtype == np.float32
        assert labels.tolist() == sorted(labels.tolist())
        red = np.float32(80 / 255) * labels
        np.testing.assert_allclose(pixels[..., 0].mean((1, 2)), (red - 0.485) / 0.229, atol=0.1)


def test_imagenet_batches_replay_from_seed_and_epoch(image_folder):
    path = image_folder.train[0][0]
    Image.fromarray(RNG.integers(0, 256, (50, 60, 3), dtype=np.uint8)).save(path, quality=100)

    def first(seed, epoch):
        return image_folder.train_batch(np.array([0]), seed, epoch)[0]

    np.testing.assert_array_equal(first(1, 0), first(1, 0))
    assert not np.array_equal(first(1, 0), first(1, 1))
    assert not np.array_equal(first(1, 0), first(2, 0))


def test_a_damaged_image_is_named(image_folder):
    path = image_folder.test[2][0]
    path.write_bytes(b"not a JPEG")
    with pytest.raises(DataError, match=rf"{path.name} cannot be read"):
        image_folder.test_batch(np.arange(6))


def cifar_like(**options):
    pixels = RNG.integers(0, 256, (20, 8, 8, 3), dtype=np.uint8)
    images = ImageArrays(pixels, np.arange(20) % 10)
    return ImageSet("x", images, images, 10, (0.5, 0.4, 0.3), (0.2, 0.3, 0.4), **options)


BLACK = (-np.float32([0.5, 0.4, 0.3])) / np.float32([0.2, 0.3, 0.4])
"""Pixel value 0, standardised: the border's colour in the public CPT code, which pads first."""


def test_augmented_images_are_shifted_and_mirrored_ones():
    """Every augmented image is found among all shifts and mirrorings of its padded self; many kinds occur."""
    data = cifar_like(pad=2, flip=True)
    plain, _ = data.test_batch(np.arange(20))
    moved, labels = data.train_batch(np.arange(20), seed=3, epoch=4)
    assert labels.tolist() == data.train.labels.tolist()
    kinds = set()
    for image, result in zip(plain, moved, strict=True):
        padded = np.tile(BLACK, (12, 12, 1))
        padded[2:-2, 2:-2] = image
        matches = [
            (top, left, mirrored)
            for top in range(5)
            for left in range(5)
            for mirrored in (False, True)
            if np.array_equal(result, padded[top : top + 8, left : left + 8][:, :: -1 if mirrored else 1])
        ]
        assert len(matches) == 1
        kinds.add(matches[0])
    assert len(kinds) > 10
    assert {mirrored for _, _, mirrored in kinds} == {False, True}


def test_augmentation_depends_on_seed_epoch_and_sample_alone():
    data = cifar_like(pad=2, flip=True)
    whole, _ = data.train_batch(np.arange(20), 7, 2)
    some = np.array([13, 4, 19])
    np.testing.assert_array_equal(data.train_batch(some, 7, 2)[0], whole[some])
    assert not np.array_equal(data.train_batch(np.arange(20), 7, 3)[0], whole)
    assert not np.array_equal(data.train_batch(np.arange(20), 8, 2)[0], whole)


def test_extreme_draws_stay_inside_the_padding():
    image = np.arange(16, dtype=np.float32).reshape(1, 4, 4, 1)
    low = augment(image, np.zeros((1, 3), np.float32) + np.float32([0, 0, 0.9]), 1, True)
    high = augment(image, np.full((1, 3), np.nextafter(np.float32(1), np.float32(0))), 1, True)
    np.testing.assert_array_equal(low[0, 1:, 1:, 0], image[0, :3, :3, 0])
    np.testing.assert_array_equal(high[0, :3, :3, 0], image[0, 1:, 1:, 0])


def test_draws_are_uniform_and_orders_are_permutations():
    found = draws(np.arange(5000), 2, seed=1, epoch=1, total=5000)
    assert 0 <= found.min() < 0.001
    assert 0.999 < found.max() < 1
    np.testing.assert_allclose(np.histogram(found, 10, (0, 1))[0], 1000, rtol=0.12)
    some = np.array([3, 4999, 3])
    np.testing.assert_array_equal(draws(some, 2, 1, 1, total=6000), found[some])
    order = shuffled(1000, 1, 1)
    assert sorted(order.tolist()) == list(range(1000))
    assert not np.array_equal(order, shuffled(1000, 1, 2))


def test_labels_out_of_range_are_refused():
    images = ImageArrays(np.zeros((2, 4, 4, 1), np.uint8), np.array([0, 10]))
    with pytest.raises(DataError, match=r"labels reach 10; allowed: 0\.\.9"):
        ImageSet("x", images, images, 10)


def test_the_unpickler_reads_numpys_new_module_names_too(tmp_path):
    folder = tmp_path / "cifar-100-python"
    write_pickles(folder, ["train", "test"], 100)
    for name in ("train", "test"):
        text = (folder / name).read_bytes()
        (folder / name).write_bytes(text.replace(b"cnumpy.core.multiarray\n", b"cnumpy._core.multiarray\n"))
    assert len(load_cifar(tmp_path, 100).train) == 3
    assert io.BytesIO(text).read(2) == b"\x80\x02"


@pytest.mark.parametrize(
    ("labels", "reason"),
    [
        ([0, 1], r"labels 0\.\.1; allowed: 1\.\.10"),
        ([-3, 1], r"labels -3\.\.1"),
        ([1, 11], r"labels 1\.\.11"),
        ([1.5, 2], "labels that are not whole numbers"),
        ([np.nan, 2], "labels that are not whole numbers"),
        ([1], "2 images and 1 labels"),
    ],
)
def test_svhn_labels_that_nobody_published_are_refused(tmp_path, labels, reason):
    for part in ("train", "test"):
        savemat(tmp_path / f"{part}_32x32.mat", {"X": np.zeros((32, 32, 3, 2), np.uint8), "y": labels})
    with pytest.raises(DataError, match=rf"train_32x32\.mat .*{reason}"):
        load_svhn(tmp_path)


def test_a_label_beyond_the_classes_names_the_file(tmp_path):
    folder = tmp_path / "cifar-10-batches-bin"
    write_binary(folder, [*TRAIN_10, "test_batch"], 10)
    path = folder / "data_batch_3.bin"
    path.write_bytes(b"\x0a" + path.read_bytes()[1:])
    with pytest.raises(DataError, match=r"data_batch_3\.bin has labels \d\.\.10; allowed: 0\.\.9"):
        load_cifar(tmp_path, 10)


def test_a_pickle_that_asks_for_gigabytes_of_places_is_refused(tmp_path):
    folder = tmp_path / "cifar-100-python"
    write_pickles(folder, ["train", "test"], 100)
    (folder / "test").write_bytes(b"\x80\x02}r\xff\xff\xff\x7f.")
    with pytest.raises(DataError, match=r"cifar-100-python/test: pickle has a place 2147483647"):
        load_cifar(tmp_path, 100)


@pytest.mark.parametrize("dtype", [np.uint16, np.int32])
def test_sixteen_bits_of_grey_are_scaled_to_eight(tmp_path, dtype):
    values = np.arange(65536, dtype=dtype).reshape(256, 256)
    Image.fromarray(values).save(tmp_path / "ramp.png" if dtype == np.uint16 else tmp_path / "ramp.tif")
    found = np.asarray(open_rgb(next(tmp_path.iterdir())))[..., 0]
    np.testing.assert_array_equal(found, np.rint(np.arange(65536) / 257).reshape(256, 256))


def test_pixels_without_a_scale_are_refused(tmp_path):
    Image.fromarray(np.full((4, 4), 70000, np.int32)).save(tmp_path / "far.tif")
    Image.fromarray(np.zeros((4, 4), np.float32)).save(tmp_path / "float.tif")
    for name, reason in (("far", r"pixels 70000\.\.70000"), ("float", "floating-point pixels")):
        with pytest.raises(DataError, match=rf"{name}\.tif has {reason}"):
            open_rgb(tmp_path / f"{name}.tif")


def test_a_picture_of_more_pixels_than_any_camera_makes_is_refused_undecoded(tmp_path):
    Image.new("1", (20000, 20000)).save(tmp_path / "bomb.png")
    with pytest.raises(DataError, match=r"bomb\.png cannot be read \(DecompressionBombError"):
        open_rgb(tmp_path / "bomb.png")


def test_pipes_folders_and_devices_are_no_data(tmp_path):
    os.mkfifo(tmp_path / "pipe.png")
    for path, reason in (
        (tmp_path / "pipe.png", "pipe"),
        (tmp_path, "folder"),
        (Path("/dev/zero"), "device"),
    ):
        for read in (open_rgb, read_bytes):
            with pytest.raises(DataError, match=reason):
                read(path)
