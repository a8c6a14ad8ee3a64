"""A graph whose nodes are classified, and one generated from a seed in a published form."""

from __future__ import annotations

import hashlib
import math
from dataclasses import dataclass

import numpy as np

from cpt.model.data.source import DataError


@dataclass(frozen=True)
class Graph:
    """Nodes with features and labels, edges between them, and which nodes are for training and testing.

    ``features``: (N, F) float32. ``edges``: (2, E) int64; each counts once, whatever its direction and how
    often it is given. ``labels``: (N,) int64. ``train``, ``test``: numbers of nodes, int64.
    """

    name: str
    features: np.ndarray
    edges: np.ndarray
    labels: np.ndarray
    classes: int
    train: np.ndarray
    test: np.ndarray

    def __post_init__(self) -> None:
        nodes = len(self.features)
        if self.features.ndim != 2 or self.labels.shape != (nodes,) or not self.features.size:
            raise DataError(
                f"graph has features {self.features.shape} and labels {self.labels.shape}; "
                "allowed: (N, F) and (N,), at least 1 of each"
            )
        if not np.isfinite(self.features).all():
            raise DataError("graph has features that are not finite; allowed: finite numbers")
        if self.edges.shape[:1] != (2,) or self.edges.ndim != 2:
            raise DataError(f"graph has edges {self.edges.shape}; allowed: (2, E)")
        for name, limit in (("edges", nodes), ("train", nodes), ("test", nodes), ("labels", self.classes)):
            numbers = getattr(self, name)
            if name in ("train", "test") and not len(numbers):
                raise DataError(f"graph has no {name} nodes; allowed: at least 1")
            if numbers.size and not 0 <= numbers.min() <= numbers.max() < limit:
                raise DataError(f"graph has {name} {numbers.min()}..{numbers.max()}; allowed: 0..{limit - 1}")
        if shared := len(np.intersect1d(self.train, self.test)):
            raise DataError(f"graph has {shared} nodes that train and test; allowed: none")

    def neighbours(self) -> tuple[np.ndarray, np.ndarray]:
        """Every node's neighbours, itself among them, by rising number, one node behind the other.

        (N,) places where each node's begin, and the neighbours' numbers.
        """
        nodes = len(self.features)
        own = np.arange(nodes)
        ends = np.concatenate((self.edges, self.edges[::-1], np.stack((own, own))), 1)
        pairs = np.unique(ends[0] * nodes + ends[1])
        return np.searchsorted(pairs, own * nodes), pairs % nodes

    def sha256(self) -> str:
        """Hash of all arrays."""
        digest = hashlib.sha256(f"{self.classes}".encode())
        for array, kind in (
            (self.features, "<f4"),
            *((array, "<i8") for array in (self.edges, self.labels, self.train, self.test)),
        ):
            digest.update(f"{array.shape}".encode())
            digest.update(np.ascontiguousarray(array, kind).tobytes())
        return digest.hexdigest()


def load_communities(
    nodes: int = 4000,
    features: int = 64,
    degree: float = 10.0,
    contrast: float = 1.5,
    signal: float = 16.0,
    train: int = 1000,
    seed: int = 0,
) -> Graph:
    """Two communities by the contextual stochastic block model; the same for equal arguments everywhere.

    Node i is of community ``v_i`` = +1 or -1. Two nodes share an edge with probability ``c/nodes``, c being
    ``degree + contrast*sqrt(degree)`` within a community and ``degree - contrast*sqrt(degree)`` between two;
    features are ``sqrt(signal/nodes) * v_i * u + z_i``, u and z_i standard normal. They are the paper's times
    ``sqrt(features)``, so that noise has variance 1. ``train`` nodes drawn at random train, all others test.

    Raises `DataError` where a probability is below 0 or above 1.
    Source: Deshpande et al., NeurIPS 2018, whose lambda is ``contrast`` and mu is ``signal``.
    """
    step = contrast * math.sqrt(degree)
    if not 0 <= degree - abs(step) <= degree + abs(step) <= nodes:
        raise DataError(f"contrast is {contrast} at degree {degree}; allowed: at most the degree's root")
    rng = np.random.default_rng(seed)
    labels = rng.integers(0, 2, nodes)
    side = 2.0 * labels - 1
    direction = rng.standard_normal(features)
    found = math.sqrt(signal / nodes) * side[:, None] * direction + rng.standard_normal((nodes, features))
    edges = []
    for node in range(nodes - 1):
        chance = (degree + step * side[node] * side[node + 1 :]) / nodes
        others = node + 1 + np.flatnonzero(rng.random(len(chance)) < chance)
        edges.append(np.stack((np.full_like(others, node), others)))
    order = rng.permutation(nodes)
    return Graph(
        "communities",
        found.astype(np.float32),
        np.concatenate(edges, 1),
        labels,
        2,
        np.sort(order[:train]),
        np.sort(order[train:]),
    )
