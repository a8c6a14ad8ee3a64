"""Pictures for super-resolution, read from small files written in their published folders."""

import numpy as np
import pytest
from PIL import Image

from cpt.model.data import DataError, load_div2k, load_photographs, load_urban100
from cpt.model.data.pictures import reduce

RNG = np.random.default_rng(5)
SCALE = 4


def write(path, height, width):
    path.parent.mkdir(parents=True, exist_ok=True)
    pixels = RNG.integers(0, 256, (height, width, 3), dtype=np.uint8)
    Image.fromarray(pixels).save(path)
    return pixels


def write_div2k(root, low=True):
    """Two training pictures and one for testing; the reduced ones are recognisably not computed."""
    found = {}
    for part, numbers in (("train", (1, 2)), ("valid", (801,))):
        for number in numbers:
            name = f"{number:04}"
            high = write(root / f"DIV2K_{part}_HR" / f"{name}.png", 64, 48)
            if low:
                path = root / f"DIV2K_{part}_LR_bicubic" / "X4" / f"{name}x4.png"
                found[name] = write(path, 16, 12), high
            else:
                found[name] = reduce(high, SCALE), high
    return found


@pytest.mark.parametrize("low", [True, False])
def test_div2k_pairs_each_picture_with_its_reduced_one(tmp_path, low):
    written = write_div2k(tmp_path / "DIV2K", low)
    for root in (tmp_path, tmp_path / "DIV2K"):
        found = load_div2k(root, SCALE)
        assert [picture.name for picture in found.train] == ["0001", "0002"]
        for picture in (*found.train, *found.test):
            for mine, theirs in zip(picture.load(), written[picture.name], strict=True):
                np.testing.assert_array_equal(mine, theirs)


def test_flickr2k_joins_and_urban100_tests(tmp_path):
    write_div2k(tmp_path)
    write(tmp_path / "Flickr2K" / "Flickr2K_HR" / "000001.png", 32, 32)
    write(tmp_path / "Flickr2K" / "Flickr2K_LR_bicubic" / "X4" / "000001x4.png", 8, 8)
    folder = tmp_path / "Urban100" / "image_SRF_4"
    high = write(folder / "img_001_SRF_4_HR.png", 41, 30)
    low = write(folder / "img_001_SRF_4_LR.png", 10, 7)
    found = load_div2k(tmp_path, SCALE, flickr=tmp_path, urban=tmp_path)
    assert [picture.name for picture in found.train] == ["0001", "0002", "000001"]
    (test,) = found.test
    mine = test.load()
    np.testing.assert_array_equal(mine[0], low)
    np.testing.assert_array_equal(mine[1], high[:40, :28])


def test_a_reduced_picture_that_is_missing_or_of_another_size_is_named(tmp_path):
    write_div2k(tmp_path)
    path = tmp_path / "DIV2K_train_LR_bicubic" / "X4" / "0002x4.png"
    write(path, 15, 12)
    with pytest.raises(DataError, match=r"picture 0002 is \(64, 48\), reduced \(15, 12\); allowed: 1/4"):
        load_div2k(tmp_path, SCALE).train[1].load()
    path.unlink()
    with pytest.raises(DataError, match=r"0002x4\.png is missing"):
        load_div2k(tmp_path, SCALE)


def test_a_damaged_picture_is_named(tmp_path):
    write_div2k(tmp_path)
    (tmp_path / "DIV2K_train_HR" / "0001.png").write_bytes(b"no PNG")
    with pytest.raises(DataError, match=r"0001\.png cannot be read"):
        load_div2k(tmp_path, SCALE).train[0].load()


def test_empty_folders_are_named(tmp_path):
    (tmp_path / "image_SRF_4").mkdir()
    with pytest.raises(DataError, match=r"has no \*_SRF_4_HR\.png"):
        load_urban100(tmp_path)
    with pytest.raises(DataError, match="data has no DIV2K_train_HR in"):
        load_div2k(tmp_path)


def test_patches_fit_their_reduced_ones_and_replay():
    """Reducing a patch again gives the reduced patch, but for the border that the filter reaches over."""
    found = load_photographs(SCALE, patch=16)
    index = np.arange(12)
    low, high = found.train_batch(index, seed=2, epoch=1)
    assert low.shape == (12, 16, 16, 3)
    assert high.shape == (12, 64, 64, 3)
    assert 0 <= low.min() < low.max() <= 1
    for small, large in zip(low, high, strict=True):
        again = reduce((large * 255).round().astype(np.uint8), SCALE)[3:-3, 3:-3] / np.float32(255)
        np.testing.assert_allclose(again, small[3:-3, 3:-3], atol=2.5 / 255)
    some = np.array([7, 3])
    np.testing.assert_array_equal(found.train_batch(some, 2, 1)[0], low[some])
    assert not np.array_equal(found.train_batch(index, 2, 2)[0], low)


def test_training_and_test_photographs_are_different_ones():
    found = load_photographs()
    train, test = ({picture.name for picture in part} for part in (found.train, found.test))
    assert (len(train), len(test)) == (4, 2)
    assert not train & test
    assert found.train_count == 600
    low, high = found.test_pair(0)
    assert low.shape == (1, 75, 112, 3)
    assert high.shape == (1, 300, 448, 3)
    assert found.sha256() == load_photographs().sha256()
