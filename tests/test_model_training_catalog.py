"""Every data set, as files in its published format, trains a step under its name."""

import math
from dataclasses import replace

import numpy as np
import pytest
from PIL import Image
from scipy.io import savemat
from test_model_data_graph import write as write_arxiv
from torch_runs import GRAPH, LANGUAGE, LSTM, PICTURES, SMALL

from cpt.model.training import TorchTrainer, open_task
from cpt.model.training.catalog import BUNDLED, NAMES

pytestmark = pytest.mark.usefixtures("one_thread")

RNG = np.random.default_rng(3)
CIFAR_10 = [*(f"data_batch_{number}" for number in range(1, 6)), "test_batch"]


def picture(path, height, width):
    path.parent.mkdir(parents=True, exist_ok=True)
    Image.fromarray(RNG.integers(0, 256, (height, width, 3), dtype=np.uint8)).save(path)


def write_cifar10(root):
    for name in CIFAR_10:
        records = RNG.integers(0, 256, (4, 3073), dtype=np.uint8)
        records[:, 0] %= 10
        (root / f"{name}.bin").write_bytes(records.tobytes())


def write_cifar100(root):
    for name in ("train", "test"):
        records = RNG.integers(0, 256, (8, 3074), dtype=np.uint8)
        records[:, :2] %= 20
        (root / f"{name}.bin").write_bytes(records.tobytes())


def write_svhn(root):
    for name in ("train", "test"):
        pixels = RNG.integers(0, 256, (32, 32, 3, 8), dtype=np.uint8)
        savemat(root / f"{name}_32x32.mat", {"X": pixels, "y": np.arange(1, 9, dtype=np.uint8)[:, None]})


def write_imagenet(root):
    for part in ("train", "val"):
        for label in ("n1", "n2"):
            for number in range(4):
                picture(root / part / label / f"{number}.JPEG", 40 + number, 50)


def write_text(root, names, suffix):
    words = [f"word{number % 11}" for number in range(300)]
    for name in names:
        lines = (" ".join(words[start : start + 10]) for start in range(0, 300, 10))
        (root / f"{name}.{suffix}").write_text("\n".join(lines))


def write_div2k(root):
    for part in ("train", "valid"):
        for number in (1, 2):
            picture(root / f"DIV2K_{part}_HR" / f"{number:04}.png", 40, 48)
            picture(root / f"DIV2K_{part}_LR_bicubic" / "X2" / f"{number:04}x2.png", 20, 24)


def write_df2k(root):
    write_div2k(root)
    picture(root / "Flickr2K_HR" / "000001.png", 40, 40)
    picture(root / "Urban100" / "image_SRF_2" / "img_001_SRF_2_HR.png", 40, 40)
    picture(root / "Urban100" / "image_SRF_2" / "img_001_SRF_2_LR.png", 20, 20)


WRITERS = {
    "cifar10": (write_cifar10, SMALL),
    "cifar100": (write_cifar100, SMALL),
    "svhn": (write_svhn, SMALL),
    "imagenet": (write_imagenet, replace(SMALL, model="vit")),
    "wikitext103": (lambda root: write_text(root, ("wiki.train", "wiki.test"), "tokens"), LANGUAGE),
    "ptb": (lambda root: write_text(root, ("ptb.train", "ptb.test"), "txt"), LSTM),
    "python-text": (lambda root: None, LSTM),
    "div2k": (write_div2k, PICTURES),
    "df2k": (write_df2k, PICTURES),
    "photographs": (lambda root: None, PICTURES),
    "communities": (lambda root: None, GRAPH),
    "ogbn-arxiv": (write_arxiv, GRAPH),
}


@pytest.mark.parametrize("name", NAMES)
def test_every_data_set_trains_a_step_and_is_evaluated(name, tmp_path):
    write, config = WRITERS[name]
    write(tmp_path)
    task = open_task(name, None if name in BUNDLED else tmp_path, config, scale=2)
    if name == "imagenet":
        task.images = replace(task.images, side=32)
    if name == "python-text":
        # a hundredth of it is enough to evaluate
        task.tokens = replace(task.tokens, test=task.tokens.test[:500])
    if name in ("div2k", "df2k"):
        task.pictures = replace(task.pictures, patch=8)
    assert task.name == name
    assert len(task.sha256()) == 64
    trainer = TorchTrainer(replace(config, steps=1), task)
    assert math.isfinite(trainer.train_epoch()["train_loss"])
    assert math.isfinite(trainer.evaluate()[task.metric])
