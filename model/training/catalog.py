"""Tasks by the name of their data."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

from cpt.model.data import (
    DataError,
    ImageFolder,
    PictureSet,
    load_arxiv,
    load_cifar,
    load_communities,
    load_div2k,
    load_penn_treebank,
    load_photographs,
    load_python_text,
    load_svhn,
    load_wikitext103,
)
from cpt.model.training.config import TorchConfig
from cpt.model.training.tasks import (
    Classification,
    LanguageModel,
    NodeClassification,
    SuperResolution,
    Task,
)

BUNDLED = ("python-text", "photographs", "communities")
"""Data that need no folder."""
IMAGES = ("cifar10", "cifar100", "svhn", "imagenet")
LANGUAGE = ("wikitext103", "ptb", "python-text")
PICTURES = ("div2k", "df2k", "photographs")
GRAPHS = ("communities", "ogbn-arxiv")
NAMES = (*IMAGES, *LANGUAGE, *PICTURES, *GRAPHS)


def open_task(name: str, root: Path | None, config: TorchConfig, scale: int = 4) -> Task:
    """The task called ``name`` on the files of ``root``.

    ``scale``: of super-resolution. ``df2k``: DIV2K with Flickr2K, tested on Urban-100 where ``root`` has it.
    Raises `DataError` in one line.
    """
    if name not in NAMES:
        raise DataError(f"data is {name!r}; allowed: {', '.join(NAMES)}")
    if root is None:
        if name not in BUNDLED:
            raise DataError(f"data is {name!r} without --data-dir; allowed: the folder of its files")
        root = Path()
    if name in PICTURES:
        return SuperResolution(_pictures(name, root, scale))
    if name in GRAPHS:
        return NodeClassification(load_communities() if name == "communities" else load_arxiv(root))
    if name in LANGUAGE:
        tokens = {
            "wikitext103": lambda: load_wikitext103(root),
            "ptb": lambda: load_penn_treebank(root),
            "python-text": load_python_text,
        }[name]()
        return LanguageModel(tokens, config.sequence, carries=config.model.startswith("lstm"))
    load: dict[str, Callable[[], Classification]] = {
        "cifar10": lambda: Classification(load_cifar(root, 10)),
        "cifar100": lambda: Classification(load_cifar(root, 100)),
        "svhn": lambda: Classification(load_svhn(root)),
        "imagenet": lambda: Classification(ImageFolder(root)),
    }
    return load[name]()


def _pictures(name: str, root: Path, scale: int) -> PictureSet:
    if name == "photographs":
        return load_photographs(scale)
    if name == "div2k":
        return load_div2k(root, scale)
    urban = next((root / folder for folder in ("Urban100", "Urban-100") if (root / folder).is_dir()), None)
    return load_div2k(root, scale, flickr=root, urban=urban)
