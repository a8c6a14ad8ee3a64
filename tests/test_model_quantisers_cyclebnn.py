"""Binary products after CycleBNN: signs of rounded numbers, whose gradients do not see the signs."""

import copy
from dataclasses import replace

import numpy as np
import pytest
import torch
from torch import nn
from torch_runs import SMALL, images

from cpt.model import QuantConfig, precision, quantize_
from cpt.model.functional import Noise, Range, fake_quantise
from cpt.model.quantisers import Batch, CycleBnn
from cpt.model.quantisers.rehearsal import check_parts
from cpt.model.training import TorchTrainer

PLUG = CycleBnn()


def bits(count):
    return torch.tensor(count)


def rounded(x, lo, hi, count):
    """Min-max grid in float64."""
    step = (hi - lo) / (2**count - 1)
    return np.rint((x - lo) / step) * step + lo


@pytest.mark.parametrize("count", [1, 2, 4, 6, 8])
def test_weights_are_signs_of_the_grids_values_times_a_mean_for_each_channel(count):
    w = torch.randn(5, 3, 3, 3, generator=torch.Generator().manual_seed(count)) + 0.2
    found = PLUG.weight(w, bits(count))
    for channel, quantised in zip(w.double().numpy(), found, strict=True):
        values = rounded(channel, channel.min(), channel.max(), count)
        away = np.abs(values) > 1e-5
        expected = np.sign(values) * np.abs(channel).mean()
        assert np.allclose(quantised.numpy()[away], expected[away], rtol=1e-5)
        assert len(quantised.abs().unique()) <= 2


def test_behind_a_relu_numbers_are_0_or_1_and_bits_move_the_edge():
    x = torch.tensor([0.0, 0.05, 0.1, 0.3, 0.6, 1.5])
    found = Range(x.min(), x.max())
    assert PLUG.activation(x, bits(1), found, True).tolist() == [0, 0, 0, 0, 0, 1]
    assert PLUG.activation(x, bits(2), found, True).tolist() == [0, 0, 0, 1, 1, 1]
    assert PLUG.activation(x, bits(8), found, True).tolist() == [0, 1, 1, 1, 1, 1]
    assert PLUG.activation(-x, bits(8), Range(-x.max(), x.min()), True).tolist() == [0, -1, -1, -1, -1, -1]


def test_gradients_pass_weights_and_fade_with_the_size_of_activations():
    w = torch.randn(3, 4, requires_grad=True)
    grad = torch.randn(3, 4)
    PLUG.weight(w, bits(3)).backward(grad)
    assert torch.equal(w.grad, grad)
    x = torch.tensor([-2.0, -0.5, 0.0, 0.25, 1.0, 3.0], requires_grad=True)
    PLUG.activation(x, bits(3), Range(x.detach().min(), x.detach().max()), True).backward(torch.ones(6))
    assert x.grad.tolist() == [0, 1, 2, 1.5, 0, 0]


def test_gradients_have_their_bits():
    grad, noise = torch.randn(4, 6), Noise(3, False)
    found = Range(grad.min(), grad.max())
    expected = fake_quantise(grad, bits(5), found, noise)
    assert torch.equal(PLUG.gradient(grad, bits(5), noise, Batch()), expected)


def test_a_zero_tensor_stays_zero_and_a_number_that_is_none_is_named():
    assert not PLUG.weight(torch.zeros(2, 3), bits(4)).any()
    net = quantize_(nn.Sequential(nn.Linear(3, 2)), QuantConfig("cyclebnn"))
    with pytest.raises(ValueError, match="input of layer 0 ranges from"):
        net(torch.tensor([[1.0, float("nan"), 0.0]]))


def test_parts_of_a_batch_are_quantised_as_the_whole():
    check_parts(PLUG)


def test_a_network_is_binary_at_every_precision_and_stays_itself():
    torch.manual_seed(0)
    net = quantize_(nn.Sequential(nn.Conv2d(2, 4, 3), nn.ReLU(), nn.Conv2d(4, 3, 1)), QuantConfig("cyclebnn"))
    x = torch.randn(3, 2, 6, 6)
    net(x).sum().backward()
    other = copy.deepcopy(net)
    net.eval(), other.eval()
    for count in (1, 2, 6):
        with precision(net, fw=count), precision(other, fw=count), torch.no_grad():
            assert torch.equal(net(x), other(x))
            weights = net[0].precision.weights(net[0].weight)[0]
            assert all(len(channel.abs().unique()) <= 2 for channel in weights)
    compiled = torch.compile(net, backend="aot_eager")
    with torch.no_grad():
        assert torch.allclose(compiled(x), net(x), atol=1e-5)


@pytest.mark.parametrize("amp", ["off", "bf16"])
def test_it_trains_from_2_to_6_bits(amp):
    config = replace(
        SMALL, quantiser="cyclebnn", fw=(2, 6), bw=(6, 6), epochs=8, width=8, amp=amp, per="iteration"
    )
    trainer = TorchTrainer(config, images())
    losses = [trainer.train_epoch()["train_loss"] for _ in range(8)]
    assert losses[-1] < losses[0]
