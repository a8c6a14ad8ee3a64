"""Recurrent layers and attention: float layers at full precision, quantised ones that train."""

import pytest
import torch
from torch import nn
from torch.nn.utils.rnn import pack_sequence

from cpt.model.adaptive.ldp import LearnedPrecision
from cpt.model.config import QuantConfig
from cpt.model.layer_precisions import precision, precisions, set_precision
from cpt.model.layer_summary import summary
from cpt.model.quantize import dequantize_, quantize_

torch.set_num_threads(1)
FULL = QuantConfig(fw=0, bw=0)


def learns(model, x, target):
    """In 25 steps the error falls by a fifth."""
    optimiser = torch.optim.Adam(model.parameters(), 0.02)
    losses = []
    for _ in range(25):
        optimiser.zero_grad()
        loss = (model(x)[0] - target).square().mean()
        loss.backward()
        optimiser.step()
        losses.append(loss.item())
    assert losses[-1] < 0.8 * losses[0]


@pytest.mark.parametrize(
    "settings",
    [
        {},
        {"num_layers": 2, "batch_first": True},
        {"num_layers": 2, "bidirectional": True},
        {"bias": False},
        {"proj_size": 2, "bidirectional": True},
    ],
    ids=str,
)
def test_lstm_at_full_precision_is_torchs(settings):
    torch.manual_seed(0)
    lstm = nn.LSTM(5, 6, **settings)
    x = torch.randn(4, 3, 5)
    want, (h, c) = lstm(x)
    layer = quantize_(lstm, FULL)
    got, (h2, c2) = layer(x)
    for a, b in ((got, want), (h2, h), (c2, c)):
        assert torch.allclose(a, b, atol=1e-6)
    again, _ = layer(x, (h, c))
    assert torch.allclose(again, lstm(x, (h, c))[0], atol=1e-6)
    want, (h, c) = lstm(x[:, 0], (h[:, 0], c[:, 0]))
    got, (h2, c2) = layer(x[:, 0], (h2[:, 0], c2[:, 0]))
    for a, b in ((got, want), (h2, h), (c2, c)):
        assert torch.allclose(a, b, atol=1e-6)


@pytest.mark.parametrize("kind", [nn.GRU, nn.RNN])
@pytest.mark.parametrize(
    "settings",
    [{}, {"num_layers": 2, "batch_first": True}, {"num_layers": 2, "bidirectional": True}, {"bias": False}],
    ids=str,
)
def test_other_recurrent_layers_at_full_precision_are_torchs(kind, settings):
    torch.manual_seed(0)
    recurrent = kind(5, 6, **settings)
    x = torch.randn(4, 3, 5)
    layer = quantize_(recurrent, FULL)
    same(layer(x), recurrent(x))
    _, h = recurrent(x)
    same(layer(x, h), recurrent(x, h))
    same(layer(x[:, 0], h[:, 0]), recurrent(x[:, 0], h[:, 0]))


def test_the_plain_recurrent_layer_has_its_own_nonlinearity():
    recurrent = nn.RNN(3, 4, nonlinearity="relu")
    x = torch.randn(5, 2, 3)
    same(quantize_(recurrent, FULL)(x), recurrent(x))


@pytest.mark.parametrize("kind", [nn.GRU, nn.RNN])
def test_they_learn_at_low_precision_and_go_back(kind):
    torch.manual_seed(0)
    model = nn.Sequential(kind(3, 8, num_layers=2))
    quantize_(model, QuantConfig(fw=4, bw=6))
    assert [item.layer for item in precisions(model).values()] == [0, 1, 2, 3]
    x = torch.randn(6, 4, 3)
    learns(model, x, torch.tanh(torch.randn(6, 4, 8)))
    with precision(model, fw=0, bw=0):
        want = model.eval()(x)
    back = dequantize_(model)
    assert type(back[0]) is kind
    same(back(x), want)


def test_lstm_has_a_precision_per_product_and_learns_at_low_precision():
    torch.manual_seed(0)
    model = nn.Sequential(nn.LSTM(3, 8, num_layers=2))
    quantize_(model, QuantConfig(fw=4, bw=6))
    names = [f"0.precision_{kind}_l{index}" for index in (0, 1) for kind in ("ih", "hh")]
    assert list(precisions(model)) == names
    assert [item.layer for item in precisions(model).values()] == [0, 1, 2, 3]
    x = torch.randn(6, 4, 3)
    learns(model, x, torch.tanh(torch.randn(6, 4, 8)))


@pytest.mark.parametrize(("kind", "gates"), [(nn.LSTM, 4), (nn.GRU, 3), (nn.RNN, 1)])
def test_work_of_layers_with_several_products_is_counted_per_product(kind, gates):
    model = nn.Sequential(kind(3, 8, num_layers=2, batch_first=True))
    quantize_(model, QuantConfig(fw=4, bw=6))
    set_precision(model, fw=3, filter_fn=lambda product, name: name.endswith("hh_l1"))
    counted = summary(model, torch.randn(5, 6, 3))
    assert [layer.name for layer in counted.layers] == list(precisions(model))
    own = 8 * gates
    assert [layer.macs for layer in counted.layers] == [6 * own * 3, 6 * own * 8, 6 * own * 8, 6 * own * 8]
    assert [layer.fw for layer in counted.layers] == [4, 4, 4, 3]
    LearnedPrecision(model, (3, 8), {layer.name: layer.macs for layer in counted.layers})

    class Across(nn.Module):
        def __init__(self):
            super().__init__()
            self.attention = quantize_(nn.MultiheadAttention(8, 2, kdim=4, vdim=6, batch_first=True))

        def forward(self, x, y, z):
            return self.attention(x, key=y, value=z)[0]

    streams = torch.randn(2, 5, 8), torch.randn(2, 3, 4), torch.randn(2, 3, 6)
    counted = summary(Across(), *streams)
    assert [layer.macs for layer in counted.layers] == [5 * 8 * 8, 3 * 4 * 8, 3 * 6 * 8, 5 * 8 * 8]


@pytest.mark.parametrize("batch_first", [False, True])
def test_attention_at_full_precision_is_torchs(batch_first):
    torch.manual_seed(0)
    attention = nn.MultiheadAttention(8, 2, batch_first=batch_first)
    x = torch.randn(3, 5, 8)
    length = 5 if batch_first else 3
    causal = torch.triu(torch.ones(length, length, dtype=torch.bool), 1)
    padding = torch.zeros(3 if batch_first else 5, length, dtype=torch.bool)
    padding[0, -1] = True
    each = causal.expand(padding.shape[0] * 2, -1, -1)
    layer = quantize_(attention, FULL)
    for options in (
        {"attn_mask": causal, "is_causal": True, "need_weights": False},
        {"attn_mask": causal, "key_padding_mask": padding, "need_weights": False},
        {"attn_mask": causal, "key_padding_mask": padding},
        {"attn_mask": each, "average_attn_weights": False},
    ):
        same(layer(x, x, x, **options), attention(x, x, x, **options))
    one = x[0] if batch_first else x[:, 0]
    options = {"key_padding_mask": padding[0]}
    same(layer(one, one, one, **options), attention(one, one, one, **options))


def test_attention_to_streams_of_other_widths_is_torchs():
    torch.manual_seed(0)
    attention = nn.MultiheadAttention(8, 2, kdim=4, vdim=6)
    streams = torch.randn(5, 3, 8), torch.randn(7, 3, 4), torch.randn(7, 3, 6)
    same(quantize_(attention, FULL)(*streams), attention(*streams))


def same(got, want):
    for a, b in zip(got, want, strict=True):
        assert (a is None) == (b is None)
        assert a is None or torch.allclose(a, b, atol=1e-6)


@pytest.mark.parametrize(
    ("make", "inputs", "message"),
    [
        (
            lambda: nn.LSTM(3, 4),
            [pack_sequence([torch.zeros(2, 3)])],
            "input is a PackedSequence; allowed: a t",
        ),
        (
            lambda: nn.MultiheadAttention(4, 2, add_bias_kv=True),
            [],
            "attention has bias_k or add_zero_attn; al",
        ),
    ],
)
def test_what_is_not_supported_is_named(make, inputs, message):
    with pytest.raises(ValueError, match=f"^{message}"):
        quantize_(make())(*inputs)


def test_torchs_encoder_is_quantised_in_evaluation_too():
    torch.manual_seed(0)
    encoder = nn.TransformerEncoder(
        nn.TransformerEncoderLayer(8, 2, 16, dropout=0.0, batch_first=True), 2, enable_nested_tensor=False
    )
    quantize_(encoder, QuantConfig(fw=2))
    x = torch.randn(2, 5, 8)
    encoder(x).sum().backward()
    encoder.eval()
    with torch.no_grad():
        few = encoder(x)
        with precision(encoder, fw=0):
            full = encoder(x)
    assert (few - full).abs().max() > 0.1
    assert len(precisions(encoder)) == 2 * (4 + 2)
    assert all(p.grad is not None for p in encoder.parameters())
