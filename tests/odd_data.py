"""Damages data files of every kind that the loaders read; each is read, or refused in one line.

``python tests/odd_data.py --count 500 --seed 1`` prints a JSON line; a traceback ends it.
"""

import argparse
import json
import pickle
import random
import sys
import tempfile
from collections import Counter
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parent.parent))
sys.path.insert(0, str(Path(__file__).parent))

import numpy as np
from damage import flipped, overwritten, shifted, truncated, zeroed
from PIL import Image
from scipy.io import savemat

from cpt.model.data import DataError, load_cifar, load_class_folders, load_penn_treebank, load_svhn
from cpt.model.data.decode import open_rgb

DAMAGES = (flipped, truncated, zeroed, overwritten, shifted)
FORMATS = ("png", "jpg", "gif", "bmp", "webp", "tif", "ppm")
PIXELS = np.random.default_rng(1).integers(0, 256, (4, 32, 32, 3), dtype=np.uint8)


def binary(root, rng):
    records = np.concatenate([np.array([[1, 2]] * 4, np.uint8), PIXELS.reshape(4, -1)], 1).tobytes()
    for name in ("train.bin", "test.bin"):
        (root / name).write_bytes(records)
    return root / "train.bin", lambda: load_cifar(root, 100)


def pickled(root, rng):
    content = {b"data": PIXELS.reshape(4, -1), b"fine_labels": [0, 1, 2, 3]}
    for name in ("train", "test"):
        (root / name).write_bytes(pickle.dumps(content, 2))
    return root / "train", lambda: load_cifar(root, 100)


def matlab(root, rng):
    for part in ("train", "test"):
        content = {"X": PIXELS.transpose(1, 2, 3, 0), "y": np.arange(1, 5)[:, None]}
        savemat(root / f"{part}_32x32.mat", content, do_compression=rng.random() < 0.5)
    return root / "train_32x32.mat", lambda: load_svhn(root)


def picture(root, rng):
    path = root / f"one.{rng.choice(FORMATS)}"
    Image.fromarray(PIXELS[0]).save(path)
    return path, lambda: open_rgb(path)


def folders(root, rng):
    ending = rng.choice(FORMATS)
    for number, pixels in enumerate(PIXELS):
        folder = root / "train" / f"class{number % 2}"
        folder.mkdir(parents=True, exist_ok=True)
        Image.fromarray(pixels).save(folder / f"{number}.{ending}")
    return folder / f"3.{ending}", lambda: load_class_folders(root)


def text(root, rng):
    for part in ("train", "test"):
        (root / f"ptb.{part}.txt").write_text("the cat söt on the mat\n" * 20, encoding="utf-8")
    return root / "ptb.train.txt", lambda: load_penn_treebank(root)


KINDS = (binary, pickled, matlab, picture, folders, text)


def draw(count, seed):
    """Read ``count`` damaged files; what came of them, by kind."""
    rng, found = random.Random(seed), Counter()
    for _ in range(count):
        kind = rng.choice(KINDS)
        with tempfile.TemporaryDirectory() as folder:
            path, read = kind(Path(folder), rng)
            path.write_bytes(rng.choice(DAMAGES)(bytearray(path.read_bytes()), rng))
            try:
                read()
                outcome = "read"
            except DataError as error:
                outcome = "refused" if "\n" not in str(error) else "refused in several lines"
        found[f"{kind.__name__} {outcome}"] += 1
    return dict(sorted(found.items()))


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--count", type=int, default=500)
    parser.add_argument("--seed", type=int, default=1)
    options = parser.parse_args()
    print(json.dumps(draw(options.count, options.seed)))
