"""Graph convolutional networks: sums over neighbours against dense numpy, and what a graph is worth."""

import numpy as np
import pytest
import torch
from torch_runs import GRAPH, graph

from cpt.model import precisions
from cpt.model.bitops import pass_bitops
from cpt.model.data import Graph, load_communities
from cpt.model.networks import Aggregation, GraphNetwork
from cpt.model.training import NodeClassification, TorchConfig, TorchTrainer
from cpt.model.training.yardsticks import baseline

pytestmark = pytest.mark.usefixtures("one_thread")


def aggregation(graph):
    return Aggregation(*map(torch.from_numpy, graph.neighbours()))


def dense(graph):
    """``D^-1/2 (A + I) D^-1/2`` of float64, by its definition."""
    nodes = len(graph.features)
    a = np.eye(nodes)
    a[graph.edges[0], graph.edges[1]] = a[graph.edges[1], graph.edges[0]] = 1
    root = np.diag(a.sum(1) ** -0.5)
    return root @ a @ root


def of_edges(edges, nodes):
    one = np.zeros(1, np.int64)
    return Graph("x", np.zeros((nodes, 1), np.float32), edges, np.zeros(nodes, np.int64), 1, one, one + 1)


def test_sums_over_neighbours_are_exact_where_roots_are():
    """Four nodes that all know each other, four times as a sum, and one that knows nobody."""
    pairs = np.array([(i, j) for i in range(4) for j in range(i)]).T
    x = torch.arange(15.0).view(1, 5, 3)
    expected = torch.cat((x[:, :4].sum(1, keepdim=True).expand(1, 4, 3) / 4, x[:, 4:]), 1)
    assert torch.equal(aggregation(of_edges(pairs, 5))(x), expected)


def test_aggregation_and_its_gradient_are_the_dense_matrix():
    found = graph().graph
    matrix, layer = dense(found), aggregation(found)
    generator = torch.Generator().manual_seed(0)
    x = torch.randn(2, len(found.features), 5, generator=generator, requires_grad=True)
    weights = torch.randn(x.shape, generator=generator)
    y = layer(x)
    (y * weights).sum().backward()
    np.testing.assert_allclose(y.detach(), matrix @ x.detach().double().numpy(), atol=1e-6)
    np.testing.assert_allclose(x.grad, matrix.T @ weights.double().numpy(), atol=1e-6)


def test_every_sum_is_in_the_order_of_the_neighbours():
    """So it is the same to the bit wherever it is computed."""
    found = load_communities(nodes=200, train=50)
    starts, numbers = found.neighbours()
    layer = aggregation(found)
    x = found.features
    scale = layer.scale.numpy()[:, 0]
    for node, part in enumerate(np.split(numbers, starts[1:])):
        total = np.zeros(x.shape[1], np.float32)
        for number in part:
            total += scale[number] * x[number]
        np.testing.assert_array_equal(layer(torch.from_numpy(x[None]))[0, node], scale[node] * total)


def test_a_network_is_the_papers_formula():
    found = graph().graph
    net = GraphNetwork(aggregation(found), found.features.shape[1], 2, width=6).eval()
    first, second = (layer.weight.detach().double().numpy().T for layer in net.layers)
    a = dense(found)
    expected = a @ np.maximum(a @ found.features @ first, 0) @ second
    with torch.no_grad():
        logits = net(torch.from_numpy(found.features[None]))
    np.testing.assert_allclose(logits[0], expected, atol=1e-6)


def test_the_last_layer_stays_float_and_work_is_that_of_all_nodes():
    task = graph()
    trainer = TorchTrainer(GRAPH, task)
    assert list(precisions(trainer.model)) == ["layers.0"]
    nodes, features = task.graph.features.shape
    assert trainer.work.macs == {"layers.0": nodes * features * GRAPH.width}
    assert trainer.work.rest == nodes * GRAPH.width * 2
    trainer.train_step(*map(torch.from_numpy, task.train_batch(np.arange(1), 0, 0)))
    macs = nodes * GRAPH.width * (features + 2)
    assert trainer.work.done == int(pass_bitops(1, 3, 8).total) * macs


def test_only_the_nodes_of_a_part_count():
    task = graph()
    logits = torch.randn(1, len(task.graph.labels), 2, generator=torch.Generator().manual_seed(1))
    for nodes, (inputs, targets) in (
        (task.graph.train, task.train_batch(np.arange(1), 0, 0)),
        (task.graph.test, task.test_batch(0, 1)),
    ):
        sums = task.outcome(lambda x: logits, *map(torch.from_numpy, (inputs, targets))).sums
        own, labels = logits[0, nodes], torch.from_numpy(task.graph.labels[nodes])
        assert int(sums["count"]) == len(nodes)
        assert int(sums["hits"]) == int((own.argmax(1) == labels).sum())
        loss = torch.nn.functional.cross_entropy(own, labels, reduction="sum")
        assert float(sums["loss"]) == pytest.approx(float(loss))


def test_a_graph_is_worth_more_than_its_features_at_few_bits_too():
    task = NodeClassification(load_communities())
    config = TorchConfig(
        model="gcn2", batch_size=1, optimiser="adam", lr=0.02, weight_decay=5e-4, epochs=6, per="iteration"
    )
    trainer = TorchTrainer(config, task)
    while not trainer.finished:
        trainer.train_epoch()
    assert baseline(task).value == pytest.approx(0.669, abs=0.005)
    assert trainer.evaluate()["accuracy"] > 0.8


@pytest.mark.parametrize("model", ["gcn1", "gcn0", "gcnx", "resnet8", "transformer1"])
def test_networks_for_other_data_are_refused(model):
    message = rf"^model is '{model}'; allowed for communities: gcn, gcnN with N layers, at least 2$"
    with pytest.raises(ValueError, match=message):
        TorchTrainer(TorchConfig(model=model, batch_size=1), graph())


def test_a_batch_is_the_whole_graph():
    with pytest.raises(ValueError, match=r"^batch-size is 2; allowed for communities: 1, the whole graph$"):
        TorchTrainer(TorchConfig(model="gcn2", batch_size=2), graph())
    with pytest.raises(ValueError, match=r"^depth is 1; allowed: at least 2$"):
        GraphNetwork(aggregation(graph().graph), 3, 2, depth=1)
