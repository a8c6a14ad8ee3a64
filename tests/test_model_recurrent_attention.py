"""LSTM and attention: float layers at full precision, quantised ones that train."""

import pytest
import torch
from torch import nn

from model.config import QuantConfig
from model.layer_summary import summary
from model.quantize import precision, precisions, quantize_

torch.set_num_threads(1)
FULL = QuantConfig(fw=0, bw=0)


@pytest.mark.parametrize(
    "settings",
    [{}, {"num_layers": 2, "batch_first": True}, {"num_layers": 2, "bidirectional": True}, {"bias": False}],
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


def test_lstm_has_a_precision_per_product_and_learns_at_low_precision():
    torch.manual_seed(0)
    model = nn.Sequential(nn.LSTM(3, 8, num_layers=2))
    quantize_(model, QuantConfig(fw=4, bw=6))
    names = [f"0.precision_{kind}_l{index}" for index in (0, 1) for kind in ("ih", "hh")]
    assert list(precisions(model)) == names
    assert [item.layer for item in precisions(model).values()] == [0, 1, 2, 3]
    x, target = torch.randn(6, 4, 3), torch.tanh(torch.randn(6, 4, 8))
    optimiser = torch.optim.Adam(model.parameters(), 0.02)
    losses = []
    for _ in range(25):
        optimiser.zero_grad()
        loss = (model(x)[0] - target).square().mean()
        loss.backward()
        optimiser.step()
        losses.append(loss.item())
    assert losses[-1] < 0.8 * losses[0]
    counted = summary(model, x)
    assert counted.layers[0].macs == 4 * (32 * 3 + 3 * 32 * 8) * 6 // 6
    assert counted.layers[0].fw == 4


@pytest.mark.parametrize("batch_first", [False, True])
def test_attention_at_full_precision_is_torchs(batch_first):
    torch.manual_seed(0)
    attention = nn.MultiheadAttention(8, 2, batch_first=batch_first)
    x = torch.randn(3, 5, 8)
    length = 5 if batch_first else 3
    causal = torch.triu(torch.ones(length, length, dtype=torch.bool), 1)
    padding = torch.zeros(3 if batch_first else 5, length, dtype=torch.bool)
    padding[0, -1] = True
    want = attention(x, x, x, attn_mask=causal, key_padding_mask=padding, need_weights=False)[0]
    layer = quantize_(attention, FULL)
    got = layer(x, x, x, attn_mask=causal, key_padding_mask=padding)[0]
    assert torch.allclose(got, want, atol=1e-6)


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
