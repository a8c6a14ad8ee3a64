"""Filters are asked (module, name), as torchao's; the other order is refused."""

import pytest
import torch
from torch import nn

from cpt.model import networks
from cpt.model.layer_precisions import precisions, set_precision
from cpt.model.quantize import quantize_

torch.set_num_threads(1)


def test_filter_chooses_layers_by_name_and_module():
    net = networks.cifar_resnet(8, width=4)
    quantize_(
        net, filter_fn=lambda module, name: name.startswith("blocks.1") and module.kernel_size == (3, 3)
    )
    assert set(precisions(net)) == {"blocks.1.0.conv", "blocks.1.1.conv"}


def by_name_first(part: str, _: object) -> bool:
    return part == "0"


def by_module_second(_, module):
    return True


@pytest.mark.parametrize(
    ("old_order", "said"),
    [
        (lambda name, _: name == "0", ""),
        (lambda fqn, layer: fqn == "0", ""),
        (by_name_first, ""),
        (by_module_second, ""),
        (lambda n, m: n == "0", "; as it stands it takes none"),
        (lambda n, m: n != "0", "; as it stands it takes all"),
        (lambda n, m: n not in {"0", "head"}, "; as it stands it takes all"),
    ],
)
def test_a_filter_in_the_old_order_is_refused_in_one_line(old_order, said):
    net = nn.Sequential(nn.Linear(2, 2), nn.Linear(2, 2))
    message = r"^filter_fn is written for \(name, module\); allowed: filter_fn\(module, name\), as torchao's"
    message += f"{said}$"
    with pytest.raises(ValueError, match=message):
        quantize_(net, filter_fn=old_order)
    assert type(net[0]) is nn.Linear
    quantize_(net)
    with pytest.raises(ValueError, match=message):
        set_precision(net, fw=3, filter_fn=old_order)
    assert net[0].precision.get_bits() == (8, 8)


@pytest.mark.parametrize(
    "filter_fn",
    [
        lambda module, name: name == "0",
        lambda m, n: n == "0",
        lambda *both: both[1] == "0",
        lambda m, n: m.in_features == 2,
        lambda m, n: isinstance(m, nn.Linear) and n.isdigit() and n < "1",
    ],
)
def test_a_filter_is_asked_module_and_name(filter_fn):
    net = quantize_(nn.Sequential(nn.Linear(2, 2), nn.Linear(3, 2)), filter_fn=filter_fn)
    assert list(precisions(net)) == ["0"]


@pytest.mark.parametrize(
    "answer", [lambda m, n: True, lambda m, n: isinstance(m, nn.Linear), lambda m, n: m is not n]
)
def test_a_filter_that_answers_always_the_same_is_in_no_order(answer):
    assert len(precisions(quantize_(nn.Sequential(nn.Linear(2, 2), nn.Linear(2, 2)), filter_fn=answer))) == 2


def test_a_filter_that_takes_nothing_or_fails_says_how_it_is_called():
    net = nn.Sequential(nn.Linear(2, 2), nn.Linear(2, 2))
    with pytest.raises(
        ValueError, match=r"^filter_fn takes 0 of 2 layers; allowed: at least 1 .*\(module, name\)"
    ):
        quantize_(net, filter_fn=lambda m, n: n == "2")
    with pytest.raises(
        ValueError, match=r"^filter_fn failed at '0': .*it is called filter_fn\(module, name\)"
    ):
        quantize_(net, filter_fn=lambda n, m: n.startswith("0"))
