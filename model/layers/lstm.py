"""Quantised long short-term memory."""

from __future__ import annotations

import torch
from torch import Tensor, nn

from cpt.model.config import QuantConfig
from cpt.model.layers.adopt import adopt
from cpt.model.layers.linear import project, quantised_linear
from cpt.model.layers.mixed import without_autocast
from cpt.model.layers.precision import LayerPrecision, part_precision, without_precision

State = tuple[Tensor, Tensor]
"""(h, c) of one layer in one direction."""


def weight_names(lstm: nn.LSTM) -> list[str]:
    """Names of the weights, parametrised or not, in torch's order."""
    return [name for names in lstm._all_weights for name in names if name.startswith("weight_")]


class QuantLSTM(nn.LSTM):
    """`torch.nn.LSTM` whose products with its weights are quantised; gates stay float32.

    Each product of each layer and direction has a precision of its own: ``precision_ih_l0``,
    ``precision_hh_l0``, with ``proj_size`` also ``precision_hr_l0``, and so on. Those with ``weight_hh`` and
    ``weight_hr`` quantise their input, and the gradient of their output, at every time step.
    """

    @classmethod
    def from_float(cls, lstm: nn.LSTM, config: QuantConfig, layer: int) -> QuantLSTM:
        """A quantised layer that has all that ``lstm`` holds; it takes numbers from ``layer`` on."""
        new = adopt(cls, lstm)
        new._init_flat_weights()
        device = next(lstm.parameters()).device
        for offset, name in enumerate(weight_names(lstm)):
            item = LayerPrecision(config, layer + offset, device)
            new.add_module(name.replace("weight", "precision"), item)
        return new

    def to_float(self) -> nn.LSTM:
        """The layer that this one was made from, with the weights of now."""
        new = without_precision(nn.LSTM, self)
        new._init_flat_weights()
        return new

    @without_autocast
    def forward(self, input: Tensor, hx: State | None = None) -> tuple[Tensor, State]:
        """(T, B, I), (B, T, I) with ``batch_first``, or (T, I): (outputs, (h, c)), as `torch.nn.LSTM`."""
        if not isinstance(input, Tensor):
            raise ValueError(f"input is a {type(input).__name__}; allowed: a tensor (pad its sequences)")
        batched = input.dim() == 3
        x = input if batched else input.unsqueeze(0)
        if batched and not self.batch_first:
            x = x.transpose(0, 1)  # (B, T, I)
        y, state = self._layers(x, self._first_states(x, hx))
        if not batched:
            return y.squeeze(0), (state[0].squeeze(1), state[1].squeeze(1))
        return y if self.batch_first else y.transpose(0, 1), state

    def _first_states(self, x: Tensor, hx: State | None) -> list[State]:
        """(h, c) that each layer and direction begins with."""
        suffixes = self._suffixes()
        if hx is None:
            h = x.new_zeros(x.shape[0], self.proj_size or self.hidden_size)
            c = x.new_zeros(x.shape[0], self.hidden_size)
            return [(h, c)] * len(suffixes)
        h, c = (part if part.dim() == 3 else part.unsqueeze(1) for part in hx)
        return list(zip(h, c, strict=True))

    def _layers(self, x: Tensor, states: list[State]) -> tuple[Tensor, State]:
        """All layers: (B, T, I) -> (B, T, directions * H), last (h, c) of all."""
        suffixes, last = self._suffixes(), []
        directions = 2 if self.bidirectional else 1
        for first in range(0, len(suffixes), directions):
            outputs = []
            for number in range(first, first + directions):
                backwards = number > first
                y, state = self._direction(x.flip(1) if backwards else x, states[number], suffixes[number])
                outputs.append(y.flip(1) if backwards else y)
                last.append(state)
            x = torch.cat(outputs, 2)
            if self.dropout and first + directions < len(suffixes):
                x = nn.functional.dropout(x, self.dropout, self.training)
        return x, (torch.stack([h for h, _ in last]), torch.stack([c for _, c in last]))

    def _direction(self, x: Tensor, state: State, suffix: str) -> tuple[Tensor, State]:
        """One layer in one direction: (B, T, I) -> (B, T, H), last (h, c)."""
        bias_ih, bias_hh = (getattr(self, f"bias_{kind}_{suffix}", None) for kind in ("ih", "hh"))
        from_input = quantised_linear(
            part_precision(self, f"ih_{suffix}"), x, getattr(self, f"weight_ih_{suffix}"), bias_ih
        ).unbind(1)
        kinds = ("hh", "hr") if self.proj_size else ("hh",)
        parts = [part_precision(self, f"{kind}_{suffix}") for kind in kinds]
        weights = [
            part.weights(getattr(self, f"weight_{kind}_{suffix}"))
            for kind, part in zip(kinds, parts, strict=True)
        ]
        h, c = state
        outputs = []
        for gates in from_input:
            i, f, g, o = (gates + project(parts[0], h, weights[0], bias_hh)).chunk(4, 1)
            c = torch.sigmoid(f) * c + torch.sigmoid(i) * torch.tanh(g)
            h = torch.sigmoid(o) * torch.tanh(c)
            if self.proj_size:
                h = project(parts[1], h, weights[1], None)
            outputs.append(h)
        return torch.stack(outputs, 1), (h, c)

    def _suffixes(self) -> list[str]:
        """Suffixes of the parameters' names, in the order of the states."""
        ways = ("", "_reverse") if self.bidirectional else ("",)
        return [f"l{index}{way}" for index in range(self.num_layers) for way in ways]
