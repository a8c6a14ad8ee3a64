"""Quantised recurrent layers: long short-term memory, gated recurrent units, and plain ones."""

from __future__ import annotations

from typing import ClassVar

import torch
from torch import Tensor, nn

from cpt.model.config import QuantConfig
from cpt.model.layers.adopt import adopt
from cpt.model.layers.linear import project, quantised_linear
from cpt.model.layers.mixed import without_autocast
from cpt.model.layers.precision import LayerPrecision, part_precision, without_precision

State = tuple[Tensor, ...]
"""Of one layer in one direction: (h, c), or (h,) where there is no c."""
Weights = tuple[Tensor, Tensor | None]


def weight_names(layer: nn.RNNBase) -> list[str]:
    """Names of the weights, parametrised or not, in torch's order."""
    return [name for names in layer._all_weights for name in names if name.startswith("weight_")]


class _Recurrent(nn.RNNBase):
    """What all of them are beside the float layer, ``of``.

    Each product of each layer and direction has a precision of its own: ``precision_ih_l0``,
    ``precision_hh_l0``, with ``proj_size`` also ``precision_hr_l0``, and so on. Those with ``weight_hh`` and
    ``weight_hr`` quantise their input, and the gradient of their output, at every time step. What is computed
    element by element stays float32.
    """

    of: ClassVar[type[nn.RNNBase]]

    @classmethod
    def from_float(cls, recurrent: nn.RNNBase, config: QuantConfig, layer: int) -> _Recurrent:
        """A quantised layer that has all that ``recurrent`` holds; it takes numbers from ``layer`` on."""
        new = adopt(cls, recurrent)
        new._init_flat_weights()
        device = next(recurrent.parameters()).device
        for offset, name in enumerate(weight_names(recurrent)):
            item = LayerPrecision(config, layer + offset, device)
            new.add_module(name.replace("weight", "precision"), item)
        return new

    def to_float(self) -> nn.RNNBase:
        """The layer that this one was made from, with the weights of now."""
        new = without_precision(self.of, self)
        new._init_flat_weights()
        return new

    def _run(self, input: Tensor, given: State | None) -> tuple[Tensor, State]:
        """Outputs and last states, shaped as torch's layers take and give them."""
        if not isinstance(input, Tensor):
            raise ValueError(f"input is a {type(input).__name__}; allowed: a tensor (pad its sequences)")
        batched = input.dim() == 3
        x = input if batched else input.unsqueeze(0)
        if batched and not self.batch_first:
            x = x.transpose(0, 1)  # (B, T, I)
        y, state = self._layers(x, self._first_states(x, given))
        if not batched:
            return y.squeeze(0), tuple(part.squeeze(1) for part in state)
        return y if self.batch_first else y.transpose(0, 1), state

    def _zeros(self, x: Tensor) -> State:
        """The state that a layer begins with if it is not given one."""
        return (x.new_zeros(x.shape[0], self.hidden_size),)

    def _cell(self, gates: Tensor, state: State, suffix: str, weights: list[Weights]) -> State:
        """The state behind a time step, its first part the output.

        ``gates``: (B, gates * H), the input's products with their bias. ``weights``: those of `_own_kinds`.
        """
        raise NotImplementedError

    def _own_kinds(self) -> tuple[str, ...]:
        """Kinds of the products with the state."""
        return ("hh",)

    def _first_states(self, x: Tensor, given: State | None) -> list[State]:
        """What each layer and direction begins with."""
        suffixes = self._suffixes()
        if given is None:
            return [self._zeros(x)] * len(suffixes)
        parts = [part if part.dim() == 3 else part.unsqueeze(1) for part in given]
        return list(zip(*parts, strict=True))

    def _layers(self, x: Tensor, states: list[State]) -> tuple[Tensor, State]:
        """All layers: (B, T, I) -> (B, T, directions * H), last states of all."""
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
        return x, tuple(torch.stack(part) for part in zip(*last, strict=True))

    def _direction(self, x: Tensor, state: State, suffix: str) -> tuple[Tensor, State]:
        """One layer in one direction: (B, T, I) -> (B, T, H), last state."""
        from_input = quantised_linear(
            part_precision(self, f"ih_{suffix}"),
            x,
            getattr(self, f"weight_ih_{suffix}"),
            getattr(self, f"bias_ih_{suffix}", None),
        ).unbind(1)
        weights = [
            part_precision(self, f"{kind}_{suffix}").weights(getattr(self, f"weight_{kind}_{suffix}"))
            for kind in self._own_kinds()
        ]
        outputs = []
        for gates in from_input:
            state = self._cell(gates, state, suffix, weights)
            outputs.append(state[0])
        return torch.stack(outputs, 1), state

    def _of_state(self, h: Tensor, suffix: str, weights: list[Weights]) -> Tensor:
        """Products with the state, with their bias: (B, H) -> (B, gates * H)."""
        bias = getattr(self, f"bias_hh_{suffix}", None)
        return project(part_precision(self, f"hh_{suffix}"), h, weights[0], bias)

    def _suffixes(self) -> list[str]:
        """Suffixes of the parameters' names, in the order of the states."""
        ways = ("", "_reverse") if self.bidirectional else ("",)
        return [f"l{index}{way}" for index in range(self.num_layers) for way in ways]


class QuantLSTM(_Recurrent, nn.LSTM):
    """`torch.nn.LSTM` whose products with its weights are quantised."""

    of = nn.LSTM

    @without_autocast
    def forward(
        self, input: Tensor, hx: tuple[Tensor, Tensor] | None = None
    ) -> tuple[Tensor, tuple[Tensor, Tensor]]:
        """(T, B, I), (B, T, I) with ``batch_first``, or (T, I): (outputs, (h, c)), as `torch.nn.LSTM`."""
        y, (h, c) = self._run(input, hx)
        return y, (h, c)

    def _zeros(self, x: Tensor) -> State:
        h = x.new_zeros(x.shape[0], self.proj_size or self.hidden_size)
        return h, x.new_zeros(x.shape[0], self.hidden_size)

    def _own_kinds(self) -> tuple[str, ...]:
        return ("hh", "hr") if self.proj_size else ("hh",)

    def _cell(self, gates: Tensor, state: State, suffix: str, weights: list[Weights]) -> State:
        h, c = state
        i, f, g, o = (gates + self._of_state(h, suffix, weights)).chunk(4, 1)
        c = torch.sigmoid(f) * c + torch.sigmoid(i) * torch.tanh(g)
        h = torch.sigmoid(o) * torch.tanh(c)
        if self.proj_size:
            h = project(part_precision(self, f"hr_{suffix}"), h, weights[1], None)
        return h, c


class _OneState(_Recurrent):
    """Those whose state is their output."""

    @without_autocast
    def forward(self, input: Tensor, hx: Tensor | None = None) -> tuple[Tensor, Tensor]:
        """(T, B, I), (B, T, I) with ``batch_first``, or (T, I): (outputs, h), as the float layer."""
        y, (h,) = self._run(input, None if hx is None else (hx,))
        return y, h


class QuantGRU(_OneState, nn.GRU):
    """`torch.nn.GRU` whose products with its weights are quantised."""

    of = nn.GRU

    def _cell(self, gates: Tensor, state: State, suffix: str, weights: list[Weights]) -> State:
        (h,) = state
        r, z, n = gates.chunk(3, 1)
        r_of_h, z_of_h, n_of_h = self._of_state(h, suffix, weights).chunk(3, 1)
        z = torch.sigmoid(z + z_of_h)
        n = torch.tanh(n + torch.sigmoid(r + r_of_h) * n_of_h)
        return (n + z * (h - n),)


class QuantRNN(_OneState, nn.RNN):
    """`torch.nn.RNN` whose products with its weights are quantised."""

    of = nn.RNN

    def _cell(self, gates: Tensor, state: State, suffix: str, weights: list[Weights]) -> State:
        (h,) = state
        total = gates + self._of_state(h, suffix, weights)
        return (torch.tanh(total) if self.nonlinearity == "tanh" else torch.relu(total),)
