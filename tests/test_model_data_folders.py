"""Images of one's own in class folders: sizes, colours, splits, and what is refused."""

import numpy as np
import pytest
from PIL import Image

from cpt.data import load_dataset
from cpt.host.errors import HostError
from cpt.main import main
from cpt.model.data import DataError, load_class_folders

RNG = np.random.default_rng(5)


def write(root, part="train", classes=("cat", "dog"), count=5, shape=(6, 10), ending="png"):
    """Noise, darker for the first class; all grey if ``shape`` has two numbers."""
    for label, name in enumerate(classes):
        folder = root / part / name
        folder.mkdir(parents=True, exist_ok=True)
        for number in range(count):
            pixels = RNG.integers(100 * label, 100 * label + 100, shape, dtype=np.uint8)
            Image.fromarray(pixels).save(folder / f"{number}.{ending}")
    return root


@pytest.mark.parametrize("ending", ["png", "jpg", "bmp", "gif", "webp", "tif", "ppm"])
def test_any_common_format_is_read_in_order_of_names(tmp_path, ending):
    write(tmp_path, classes=("b", "a"), shape=(6, 10, 3), ending=ending)
    found = load_class_folders(tmp_path)
    assert found.classes == ("a", "b")
    assert found.test is None
    pixels, labels = found.train
    assert pixels.shape == (10, 6, 10, 3)
    assert labels.tolist() == [0] * 5 + [1] * 5
    assert pixels[5:].mean() < 100 < pixels[:5].mean()


def test_grey_images_have_one_channel_unless_others_have_colours(tmp_path):
    write(tmp_path)
    assert load_class_folders(tmp_path).train[0].shape == (10, 6, 10, 1)
    write(tmp_path, "val", shape=(6, 10, 3), count=1)
    found = load_class_folders(tmp_path)
    assert found.train[0].shape == (10, 6, 10, 3)
    assert found.test[0].shape == (2, 6, 10, 3)


def test_sizes_that_differ_are_refused_and_brought_to_one_on_demand(tmp_path):
    write(tmp_path)
    Image.new("L", (20, 30), 7).save(tmp_path / "train" / "dog" / "4.png")
    with pytest.raises(DataError, match=r"dog/4\.png is 30 x 20, 0\.png 6 x 10; .*--image-size"):
        load_class_folders(tmp_path)
    pixels, _ = load_class_folders(tmp_path, (4, 8)).train
    assert pixels.shape == (10, 4, 8, 1)
    assert (pixels[9] == 7).all()


def test_without_a_test_part_a_fifth_of_each_class_is_held_out(tmp_path):
    write(tmp_path)
    data = load_dataset(str(tmp_path))
    assert (len(data.train), len(data.test), data.classes) == (8, 2, 2)
    assert data.describe().endswith("8 training and 2 test images of 6 x 10 x 1, 2 classes")
    assert load_dataset(str(tmp_path)).sha256() == data.sha256()
    assert load_dataset(str(tmp_path / "train")).sha256() == data.sha256()


def test_class_folders_that_cannot_be_meant_are_named(tmp_path):
    for part, classes, reason in (
        ("train", ("only",), "has 1 class folders; allowed: at least 2"),
        ("train", ("only", "two"), ""),
        ("test", ("only", "three"), "test/three is no class of"),
    ):
        write(tmp_path, part, classes, count=2)
        if reason:
            with pytest.raises(DataError, match=reason):
                load_class_folders(tmp_path)
    (tmp_path / "train" / "empty").mkdir()
    with pytest.raises(DataError, match=r"train/empty has no images; allowed: .*png"):
        load_class_folders(tmp_path)
    with pytest.raises(HostError, match="image-size is 0 0; allowed: at least 1"):
        load_dataset(str(tmp_path), [0])
    with pytest.raises(HostError, match="image-size is given for data 'digits'"):
        load_dataset("digits", [8])


@pytest.mark.parametrize("device", ["fast", "cpu"])
def test_images_that_are_not_square_train_on_the_accelerator_and_in_torch(tmp_path, device, capsys):
    write(tmp_path / "pets")
    options = ["--device", device, "--data", str(tmp_path / "pets"), "--steps", "2", "--batch-size", "4"]
    options += ["--width", "4", "--out", str(tmp_path / "runs")]
    assert main(["train", *options]) == 0
    first = capsys.readouterr().out.splitlines()[0]
    assert first == "data: pets, 8 training and 2 test images of 6 x 10 x 1, 2 classes"
