"""Graphs: one generated in a published form, one read from small files in the published format."""

import gzip
from dataclasses import replace

import numpy as np
import pytest

from cpt.model.data import DataError, Graph, load_arxiv, load_communities

FEATURES = np.array([[0.5, 1], [2, -3e-2], [4, 5], [6, 7]], np.float32)
EDGES = np.array([[2, 0, 0, 3], [0, 2, 1, 3]])
LABELS = np.array([0, 2, 1, 0])
GRAPH = Graph("four", FEATURES, EDGES, LABELS, 3, np.array([0, 2]), np.array([1]))


def write(root, packed=False):
    """`GRAPH` as the Open Graph Benchmark has it, whose third node is for validation."""
    texts = {
        "raw/node-feat.csv": "0.5,1\n2.0,-3e-2\n4.0,5.0\n6,7\n",
        "raw/edge.csv": "2,0\n0,2\n0,1\n3,3\n",
        "raw/node-label.csv": "0\n2\n1\n0\n",
        "split/time/train.csv": "0\n2\n",
        "split/time/valid.csv": "3\n",
        "split/time/test.csv": "1\n",
    }
    for name, text in texts.items():
        path = root / name
        path.parent.mkdir(parents=True, exist_ok=True)
        if packed:
            path.with_name(f"{path.name}.gz").write_bytes(gzip.compress(text.encode()))
        else:
            path.write_text(text)
    return root


def test_neighbours_are_mutual_counted_once_and_include_the_node_itself():
    starts, numbers = GRAPH.neighbours()
    assert starts.tolist() == [0, 3, 5, 7]
    assert numbers.tolist() == [0, 1, 2, 0, 1, 0, 2, 3]


@pytest.mark.parametrize("packed", [False, True])
@pytest.mark.parametrize("folder", [".", "arxiv", "ogbn_arxiv"])
def test_the_benchmarks_files_are_read(folder, packed, tmp_path):
    write(tmp_path / folder, packed)
    found = load_arxiv(tmp_path)
    assert found.name == "ogbn-arxiv"
    assert found.classes == 3
    assert found.sha256() == GRAPH.sha256()
    assert found.features.dtype == np.float32


DAMAGES = [
    ("raw/node-feat.csv", b"1,2\n3\n", r"node-feat\.csv cannot be read \(ValueError: .*columns"),
    ("raw/node-feat.csv", b"1,2\n3,x\n4,5\n6,7\n", r"node-feat\.csv cannot be read \(ValueError: .*'x'"),
    ("raw/node-feat.csv", b"1,2\n3,inf\n4,5\n6,7\n", "features that are not finite"),
    ("raw/node-feat.csv", b"1,2\n3,4\n", r"features \(2, 2\) and labels \(4,\)"),
    ("raw/node-label.csv", b"", r"node-label\.csv cannot be read \(UserWarning: "),
    ("raw/node-label.csv", b"0,1\n" * 4, r"node-label\.csv has 2 columns; allowed: 1"),
    ("raw/node-label.csv", b"0\n-1\n2\n0\n", r"graph has labels -1\.\.2; allowed: 0\.\.2"),
    ("raw/node-label.csv", b"0\n0.5\n2\n0\n", r"node-label\.csv cannot be read \(ValueError: "),
    ("raw/edge.csv", b"0,4\n", r"graph has edges 0\.\.4; allowed: 0\.\.3"),
    ("raw/edge.csv", b"0,1,2\n", r"edge\.csv has 3 columns; allowed: 2"),
    ("raw/edge.csv", b"\xff\xfe", r"edge\.csv cannot be read \(UnicodeDecodeError"),
    ("split/time/test.csv", b"2\n", "graph has 1 nodes that train and test; allowed: none"),
    ("split/time/train.csv.gz", b"no gzip", r"train\.csv\.gz cannot be read"),
    ("split/time/train.csv.gz", gzip.compress(b"0\n" * 99)[:-9], r"train\.csv\.gz cannot be read \(EOFError"),
]


@pytest.mark.parametrize(("name", "content", "message"), DAMAGES, ids=range(len(DAMAGES)))
def test_damaged_files_are_named_in_one_line(name, content, message, tmp_path):
    write(tmp_path)
    path = tmp_path / name
    if path.suffix == ".gz":
        path.with_suffix("").unlink()
    path.write_bytes(content)
    with pytest.raises(DataError, match=message) as caught:
        load_arxiv(tmp_path)
    assert "\n" not in str(caught.value)


def test_missing_files_are_named(tmp_path):
    with pytest.raises(DataError, match=r"^data has no split/time in .*; allowed: a folder with"):
        load_arxiv(tmp_path)
    (write(tmp_path) / "raw" / "edge.csv").unlink()
    with pytest.raises(DataError, match=r"edge\.csv cannot be read \(No such file"):
        load_arxiv(tmp_path)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"train": np.array([], np.int64)}, "graph has no train nodes; allowed: at least 1"),
        ({"edges": np.zeros((3, 2), np.int64)}, r"graph has edges \(3, 2\); allowed: \(2, E\)"),
        ({"features": np.zeros((0, 2), np.float32), "labels": LABELS[:0]}, "at least 1 of each"),
    ],
)
def test_what_is_no_graph_is_refused(change, message):
    with pytest.raises(DataError, match=message):
        replace(GRAPH, **change)


def test_communities_are_the_same_everywhere():
    found = load_communities()
    assert found.sha256() == "19d106695803d6d6c1ec7adfd84137361c64a1f171005d8967dfa7aa98bf7ffa"
    assert load_communities(seed=1).sha256() != found.sha256()


def test_communities_have_the_published_means():
    """Edges within and between at their chances; noise of variance 1 about a direction per community."""
    graph = load_communities()
    nodes, features = graph.features.shape
    assert (nodes, features, len(graph.train), len(graph.test)) == (4000, 64, 1000, 3000)
    side = 2.0 * graph.labels - 1
    within = side[graph.edges[0]] == side[graph.edges[1]]
    same = sum(count * (count - 1) / 2 for count in np.bincount(graph.labels))
    for edges, pairs, sign in ((within, same, 1), (~within, nodes * (nodes - 1) / 2 - same, -1)):
        expected = pairs * (10 + sign * 1.5 * 10**0.5) / nodes
        assert abs(edges.sum() - expected) < 4 * expected**0.5
    direction = (side[:, None] * graph.features).mean(0)
    noise = graph.features - side[:, None] * direction
    assert noise.var() == pytest.approx(1, abs=0.02)
    # the mean of 64 squares of normal numbers of variance 16/4000, and of the noise of 4,000 nodes
    assert (direction**2).sum() == pytest.approx(64 * 17 / 4000, rel=0.6)


def test_chances_that_are_none_are_refused():
    with pytest.raises(
        DataError, match=r"^contrast is 4 at degree 10\.0; allowed: at most the degree's root"
    ):
        load_communities(contrast=4)
