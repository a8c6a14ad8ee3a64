"""Citations between papers, in the files of the Open Graph Benchmark.

Source: Hu et al., NeurIPS 2020, https://ogb.stanford.edu/docs/nodeprop (ogbn-arxiv).
"""

from __future__ import annotations

import gzip
import warnings
import zlib
from pathlib import Path
from typing import Any

import numpy as np

from cpt.model.data.graph import Graph
from cpt.model.data.source import DataError, find_folder, first_line, regular_file


def load_arxiv(root: Path) -> Graph:
    """``raw/`` (features, edges, labels of the nodes) and ``split/time/`` of ``root``; CSV, gzipped or not.

    Directed edges count in both directions, as in the benchmark's own graph networks.
    """
    folder = find_folder(root, ("arxiv", "ogbn_arxiv"), "split/time")
    raw, split = folder / "raw", folder / "split" / "time"
    features = _read(raw / "node-feat.csv", np.float32)
    labels = _column(raw / "node-label.csv")
    edges = _read(raw / "edge.csv", np.int64)
    if edges.shape[1] != 2:
        raise DataError(f"data {raw / 'edge.csv'} has {edges.shape[1]} columns; allowed: 2")
    train, test = (_column(split / f"{part}.csv") for part in ("train", "test"))
    return Graph(
        "ogbn-arxiv", features, np.ascontiguousarray(edges.T), labels, int(labels.max()) + 1, train, test
    )


def _column(path: Path) -> np.ndarray:
    """The only column of a file of whole numbers."""
    found = _read(path, np.int64)
    if found.shape[1] != 1:
        raise DataError(f"data {path} has {found.shape[1]} columns; allowed: 1")
    return found[:, 0]


def _read(path: Path, kind: type[Any]) -> np.ndarray:
    """The numbers of ``path``, or of the same name with ``.gz``: (rows, columns)."""
    packed = path.with_name(f"{path.name}.gz")
    if packed.exists() and not path.exists():
        path = packed
    opened = gzip.open if path == packed else open
    try:
        with opened(regular_file(path), "rt", encoding="ascii") as file, warnings.catch_warnings():
            warnings.simplefilter("error")  # numpy only warns of a file without a row
            return np.loadtxt(file, kind, comments=None, delimiter=",", ndmin=2)
    except DataError:
        raise
    except (OSError, EOFError, zlib.error, ValueError, UserWarning) as error:
        reason = first_line(error)
        raise DataError(f"data {path} cannot be read ({reason}); allowed: numbers between commas") from None
