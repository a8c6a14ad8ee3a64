"""Quantised long short-term memory."""

from __future__ import annotations

import torch
from torch import Tensor, nn

from model.config import QuantConfig
from model.layers.linear import project, quantised_linear
from model.layers.precision import LayerPrecision, part_precision


class QuantLSTM(nn.LSTM):
    """`torch.nn.LSTM` whose products with ``weight_ih`` and ``weight_hh`` are quantised; gates stay float32.

    Each product of each layer and direction has a precision of its own (``precision_ih_l0`` and so on). A
    recurrent product quantises its input, and the gradient of its output, at every time step.
    """

    @classmethod
    def from_float(cls, lstm: nn.LSTM, config: QuantConfig, layer: int) -> QuantLSTM:
        """A quantised layer that shares the parameters of ``lstm``; it takes numbers from ``layer`` on."""
        if lstm.proj_size:
            raise ValueError(f"proj_size is {lstm.proj_size}; allowed: 0")
        new = cls(
            lstm.input_size,
            lstm.hidden_size,
            lstm.num_layers,
            lstm.bias,
            lstm.batch_first,
            lstm.dropout,
            lstm.bidirectional,
            device="meta",
        )
        for name, parameter in lstm.named_parameters():
            setattr(new, name, parameter)
        new._init_flat_weights()
        device = next(lstm.parameters()).device
        for index, suffix in enumerate(new._suffixes()):
            for offset, product in enumerate(("ih", "hh")):
                item = LayerPrecision(config, layer + 2 * index + offset, device)
                new.add_module(f"precision_{product}_{suffix}", item)
        return new.train(lstm.training)

    def forward(  # type: ignore[override]
        self, input: Tensor, hx: tuple[Tensor, Tensor] | None = None
    ) -> tuple[Tensor, tuple[Tensor, Tensor]]:
        """(T, B, I), or (B, T, I) with ``batch_first``, -> (outputs, (h, c)), as `torch.nn.LSTM`."""
        x = input.transpose(0, 1) if self.batch_first else input  # (T, B, I)
        suffixes = self._suffixes()
        if hx is None:
            start = x.new_zeros(len(suffixes), x.shape[1], self.hidden_size)
            hx = start, start
        last_h, last_c = [], []
        directions = 2 if self.bidirectional else 1
        for index in range(self.num_layers):
            outputs = []
            for direction in range(directions):
                number = index * directions + direction
                state = hx[0][number], hx[1][number]
                steps = x.flip(0) if direction else x
                y, (h, c) = self._direction(steps, state, suffixes[number])
                outputs.append(y.flip(0) if direction else y)
                last_h.append(h)
                last_c.append(c)
            x = torch.cat(outputs, 2)
            if self.dropout and index < self.num_layers - 1:
                x = nn.functional.dropout(x, self.dropout, self.training)
        y = x.transpose(0, 1) if self.batch_first else x
        return y, (torch.stack(last_h), torch.stack(last_c))

    def _direction(
        self, x: Tensor, state: tuple[Tensor, Tensor], suffix: str
    ) -> tuple[Tensor, tuple[Tensor, Tensor]]:
        """One layer in one direction: (T, B, I) -> (T, B, H), last (h, c)."""
        weight_ih, weight_hh = getattr(self, f"weight_ih_{suffix}"), getattr(self, f"weight_hh_{suffix}")
        bias_ih, bias_hh = (getattr(self, f"bias_{kind}_{suffix}", None) for kind in ("ih", "hh"))
        recurrent = part_precision(self, f"hh_{suffix}")
        from_input = quantised_linear(part_precision(self, f"ih_{suffix}"), x, weight_ih, bias_ih)
        weights = recurrent.weights(weight_hh)
        h, c = state
        outputs = []
        for step in range(x.shape[0]):
            gates = from_input[step] + project(recurrent, h, weights, bias_hh)
            i, f, g, o = gates.chunk(4, 1)
            c = torch.sigmoid(f) * c + torch.sigmoid(i) * torch.tanh(g)
            h = torch.sigmoid(o) * torch.tanh(c)
            outputs.append(h)
        return torch.stack(outputs), (h, c)

    def _suffixes(self) -> list[str]:
        """Suffixes of the parameters' names, in the order of the states."""
        ways = ("", "_reverse") if self.bidirectional else ("",)
        return [f"l{index}{way}" for index in range(self.num_layers) for way in ways]
