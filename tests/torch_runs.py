"""Tiny torch training runs that several test files share."""

from dataclasses import replace

import numpy as np

from cpt.model.data import ImageArrays, ImageSet, TokenSet, load_communities
from cpt.model.data.pictures import Held, Picture, PictureSet
from cpt.model.training import (
    Classification,
    LanguageModel,
    NodeClassification,
    SuperResolution,
    TorchConfig,
)

SMALL = TorchConfig(model="resnet8", width=4, epochs=2, cycles=2, batch_size=8, lr=0.05)


def images(count=48, side=8, seed=0, channels=1, **options):
    """Four classes of noise, each brighter than the one before."""
    rng = np.random.default_rng(seed)
    labels = np.arange(count) % 4
    pixels = rng.normal(size=(count, side, side, channels)).astype(np.float32)
    pixels += labels[:, None, None, None].astype(np.float32)
    train, test = slice(0, count * 3 // 4), slice(count * 3 // 4, count)
    parts = (ImageArrays(pixels[part], labels[part].astype(np.int64)) for part in (train, test))
    return Classification(ImageSet("brightness", *parts, 4, **options))


def language(carries=False, sequence=6):
    """A repeated phrase of nine letters."""
    stream = np.tile(np.array([0, 1, 2, 3, 4, 5, 6, 7, 0, 2]), 60)
    return LanguageModel(
        TokenSet("phrase", stream[:480], stream[480:], tuple("abcdefgh"), "x"), sequence, carries
    )


def pictures(seed=0):
    """Four pictures of noise at half size."""
    rng = np.random.default_rng(seed)
    found = [
        Picture(str(number), Held(rng.integers(0, 256, (32, 32, 3), dtype=np.uint8)), None, 2)
        for number in range(4)
    ]
    return SuperResolution(PictureSet("noise", found[:3], found[3:], 2, patch=8, repeats=4))


def graph():
    """Two communities of some forty nodes together."""
    return NodeClassification(load_communities(nodes=40, features=6, degree=6, train=20))


LANGUAGE = replace(SMALL, model="transformer1", width=8, lr=0.01, optimiser="adam", sequence=6)
LSTM = replace(LANGUAGE, model="lstm", dropout=0.2)
PICTURES = replace(
    SMALL, model="pan1", width=8, fw=(8, 16), bw=(16, 16), optimiser="adam", lr=0.003, batch_size=4
)
GRAPH = replace(SMALL, model="gcn2", width=8, optimiser="adam", lr=0.01, batch_size=1)
