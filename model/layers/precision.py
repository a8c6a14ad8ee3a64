"""Precision of one layer: its bit-widths, running range and noise counter, all in buffers."""

from __future__ import annotations

import copy
import math
import warnings
import weakref
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from typing import Any, Protocol

import torch
import torch.distributed as dist
from torch import Tensor, nn

from cpt.model.config import QuantConfig
from cpt.model.estimators import QuantiseGradient
from cpt.model.functional import Grid, Noise, Range, levels, noise_key
from cpt.model.integer import Codes
from cpt.model.kept import MOST_BITS, codes_wanted, mark, others
from cpt.model.layers.adopt import Layer, adopt
from cpt.model.layers.quantised import Quantised
from cpt.model.noise import GOLDEN, mix
from cpt.model.ranges import MOMENTUM, share_of_part
from cpt.model.schedule import FULL_PRECISION, check_bits


class Observer(Protocol):
    """Sees tensors beside what they are quantised to (`cpt.model.health.NumericHealth`)."""

    @property
    def active(self) -> bool:
        """Whether it looks now."""

    def __call__(
        self, layer: LayerPrecision, tensor: str, bits: Tensor, x: Tensor, quantised: Tensor
    ) -> None:
        """``x``, a ``tensor`` of the kind so called, was quantised."""

    def healthy(self, layer: str, tensor: str) -> str:
        """When the tensor was last seen to be finite, and its figures, in words."""


_HALF = (torch.float16, torch.bfloat16)
"""Types too coarse to compute codes in."""


class NonFiniteInput(ValueError):
    """A layer's input in training has no finite range; the message is one line."""


class LayerPrecision(Quantised):
    """Quantises the tensors of one layer.

    Buffers: ``fw_bits``, ``bw_bits`` (int32, 0 is full precision), ``range`` (lo, hi and weight of
    `cpt.model.ranges.RunningRange`; each a row where channels have ranges of their own), ``noise_step``
    (int64, training forwards so far). All are in the state dict, so a checkpoint replays. ``layer``: number
    of the layer in its model, which keys its noise.

    A deep copy has bits of its own, but where others write over its buffers, as torch's `AveragedModel` does
    with averages, it takes the bits of the layer it was copied from, until `set_bits` or a state dict gives
    it some.
    """

    fw_bits: Tensor
    bw_bits: Tensor
    range: Tensor
    noise_step: Tensor

    def __init__(self, config: QuantConfig, layer: int, device: torch.device | None = None) -> None:
        super().__init__()
        self.config, self.layer = config, layer
        self.name = f"number {layer}"
        """In its model, for messages; `quantize_` sets it."""
        self.quantiser = config.plug
        self.register_buffer("fw_bits", torch.zeros((), dtype=torch.int32, device=device))
        self.register_buffer("bw_bits", torch.zeros((), dtype=torch.int32, device=device))
        self.register_buffer("range", torch.zeros(3, device=device))
        self.register_buffer("noise_step", torch.zeros((), dtype=torch.int64, device=device))
        self.soft_bits: LearnedBits | None = None
        # Full precision is a branch in Python: quantised layers never wait for the value of their bits.
        self._full_fw = self._full_bw = True
        self._in_byte = self._gradient_in_byte = False
        """Whether codes of activations, and of gradients, have at most 8 bits."""
        self.calibrating = False
        """In evaluation too, ranges are those of the batch and move the running average."""
        self.micro_batches = 1
        """Forwards of a training step, each with a range of its own (`cpt.model.micro_batch`)."""
        self.has_run = False
        """Whether the layer has seen an input."""
        self.observer: Observer | None = None
        """Told of what is quantised in training."""
        self._calls = self._again = 0
        self._holder: weakref.ref[object] | None = None
        self._source: weakref.ref[LayerPrecision] | None = None
        self.set_bits(config.fw, config.bw)

    def set_bits(self, fw: int | None = None, bw: int | None = None) -> None:
        """Change the bit-widths given; ``fw`` takes the place of learned bits.

        Raises `ValueError` where the quantiser has no such width.
        """
        least = self.quantiser.least_bits
        fw = None if fw is None else check_bits("fw", fw, full_precision=True, least=least)
        bw = None if bw is None else check_bits("bw", bw, full_precision=True, least=least)
        self._source = None
        if fw is not None:
            self.soft_bits = None
        self._write(fw, bw)

    def get_bits(self) -> tuple[int, int]:
        """(fw, bw) in force; learned bits included."""
        self._follow()
        fw = self.soft_bits.hard() if self.soft_bits is not None else self.fw_bits
        return int(fw), int(self.bw_bits)

    @contextmanager
    def kept(self) -> Iterator[None]:
        """Whatever bits are set inside, learned ones included, are as before afterwards."""
        self._follow()
        fw, bw, soft, source = int(self.fw_bits), int(self.bw_bits), self.soft_bits, self._source
        try:
            yield
        finally:
            self._write(fw, bw)
            self.soft_bits, self._source = soft, source

    def hold(self, scheduler: object) -> None:
        """While ``scheduler`` lives, bits are its own to give: those of a state dict are not taken."""
        self._holder = weakref.ref(scheduler)

    @property
    def in_full_precision(self) -> bool:
        """Whether nothing is quantised."""
        return self._full_fw and self._full_bw

    @property
    def in_integers(self) -> bool:
        """Whether a linear layer's products are of int8 codes."""
        self._follow()
        in_bytes = self._in_byte and self._gradient_in_byte and self.soft_bits is None
        return in_bytes and self.config.products == "int8"

    def activation(self, x: Tensor, channels_first: bool = False) -> Tensor:
        """The layer's input, quantised; in training its range moves the running average.

        ``channels_first``: channels are axis 1, not the last one.
        """
        if channels_first and self.quantiser.channels_last:
            return self.activation(x.movedim(1, -1)).movedim(-1, 1)
        self.has_run = True
        self._follow()
        if self._full_fw:
            return x
        bits, soft = self._forward_bits()
        found, inside = self._found(x)
        if not (self._in_byte and torch.is_grad_enabled()) or torch.compiler.is_compiling() or others():
            y = self.quantiser.activation(x, bits, found, inside, soft)
        else:
            with codes_wanted() as made:
                y = mark(self.quantiser.activation(x, bits, found, inside, soft), made)
        self._observe("activation", bits, x, y)
        return y

    @torch.no_grad()
    def input_codes(self, x: Tensor) -> Codes:
        """`activation` as codes, (rows, in), where the layer is `in_integers`."""
        self.has_run = True
        grid = self.quantiser.activation_grid(self.fw_bits, self._found(x)[0])
        assert grid is not None
        codes = x.sub(grid.lo).div_(grid.scale).clamp_(0).clamp_max_(levels(self.fw_bits)).round_()
        if self._observed():
            self._observe("activation", self.fw_bits, x, grid.values(codes))
        return Codes.of(codes.reshape(-1, x.shape[-1]), grid, self.fw_bits)

    @torch.no_grad()
    def weight_codes(self, w: Tensor, *, for_dx: bool) -> tuple[Codes, Codes | None]:
        """Codes of the forward pass, (out, in), and, if wanted, those of dX, (in, out)."""
        found = self.quantiser.weight_codes(w, self.fw_bits)
        assert found is not None
        if self._observed():
            self._observe("weight", self.fw_bits, w, found[1].values(found[0]))
        turned = self.quantiser.weight_codes(w.t(), self.fw_bits) if for_dx else None
        return Codes.of(*found, self.fw_bits), turned and Codes.of(*turned, self.fw_bits)

    def gradient_codes(self, grad: Tensor, bits: Tensor, key: Tensor | int | None) -> tuple[Tensor, Grid]:
        """Codes of the output's gradient, with the noise of ``key``."""
        noise = None if key is None else self.batch.numbered(Noise(key, channels_first=False), grad)
        found = self.quantiser.gradient_codes(grad, bits, noise, self.batch)
        assert found is not None
        if self._observed():
            assert self.observer is not None
            self.observer(self, "gradient", bits, grad, found[1].values(found[0]))
        return found

    def _found(self, x: Tensor) -> tuple[Range | None, bool]:
        """The range of the input, if there is one, and whether it is that of ``x`` itself."""
        if x.dtype in _HALF:
            raise ValueError(
                f"input is {x.dtype}; allowed: torch.float32 (mixed precision by torch.autocast)"
            )
        return self._range_of(x) if self.quantiser.has_range else (None, self.training)

    def weights(self, w: Tensor, groups: int = 1) -> tuple[Tensor, Tensor | None]:
        """(weights of forward and dW, those of dX or None if they are the same)."""
        self._follow()
        if self._full_fw:
            return w, None
        bits, soft = self._forward_bits()
        depthwise = 1 < groups == len(w)
        forward = self.quantiser.depthwise_weight if depthwise else self.quantiser.weight
        quantised = forward(w, bits, soft)
        self._observe("weight", bits, w, quantised)
        return quantised, self.quantiser.weight_dx(w, bits, groups)

    def bias(self, b: Tensor | None) -> Tensor | None:
        """The bias: quantised with one range if the configuration says so."""
        if b is None or self._full_fw or not self.config.quantise_bias:
            return b
        bits, soft = self._forward_bits()
        return self.quantiser.weight(b, bits, soft)

    def gradient(self, y: Tensor, channels_first: bool = False) -> Tensor:
        """The layer's output; its gradient will be quantised. Counts a training step."""
        if self._full_bw:
            return y
        key = self.next_key()
        out: Tensor = QuantiseGradient.apply(y, self.bw_bits, key, channels_first, self.quantiser, self.batch)
        if self._observed() and out.requires_grad:
            self._observe_gradient(y, out)
        return out

    def next_key(self) -> Tensor | int | None:
        """Key of the gradient's noise in this forward; None without noise. Counts a training step."""
        step, part = self._count(), None
        if self.quantiser.keyed_by_micro_batch:
            step, part = step // self.micro_batches, step % self.micro_batches
        return noise_key(self._seed(), step, self.layer, part) if self.quantiser.stochastic else None

    def _observed(self) -> bool:
        if torch.compiler.is_compiling():
            return False
        return self.observer is not None and self.observer.active and self.training

    def _observe(self, tensor: str, bits: Tensor, x: Tensor, quantised: Tensor) -> None:
        if self._observed() and not _recomputing():
            assert self.observer is not None
            self.observer(self, tensor, bits, x, quantised)

    def _healthy(self) -> str:
        return f" ({self.observer.healthy(self.name, 'activation')})" if self.observer else ""

    def _observe_gradient(self, y: Tensor, out: Tensor) -> None:
        """Show the observer the gradient of ``out`` beside that of ``y``, which it is quantised to."""
        observer, bits = self.observer, self.bw_bits.clone()
        assert observer is not None
        given: list[Tensor] = []
        out.register_hook(given.append)
        y.register_hook(lambda quantised: observer(self, "gradient", bits, given.pop(), quantised))

    def _count(self) -> Tensor:
        """The number of this training forward; counts it, unless checkpointing computes it again."""
        step = self.noise_step
        if not self.training:
            return step
        if _recomputing():
            # Again in the order of the first time, so each has the number it had.
            self._again += 1
            return step - (self._calls - self._again + 1)
        if not torch.compiler.is_compiling():
            self._calls = 1 if self._again else self._calls + 1
            self._again = 0
        # Not in place: compiled code may read the old value again in backward.
        self.noise_step = step + 1
        return step

    def _seed(self) -> int:
        """Seed of this process's noise: under plain data parallelism every process draws its own."""
        if self.batch.shared or not (dist.is_available() and dist.is_initialized()):
            return self.config.seed
        rank = dist.get_rank()
        return mix(self.config.seed + rank * GOLDEN) if rank else self.config.seed

    def _forward_bits(self) -> tuple[Tensor, Tensor | None]:
        if self.soft_bits is None:
            return self.fw_bits, None
        return self.soft_bits.hard(), self.soft_bits()

    @torch.no_grad()
    def _range_of(self, x: Tensor) -> tuple[Range, bool]:
        """The range to quantise with, and whether it is that of ``x`` itself."""
        moves = self.training or self.calibrating
        if not moves and not torch.compiler.is_compiling() and not self.range[2].any():
            warnings.warn(
                "evaluation before training: quantised layers take the range of this first batch "
                "(cpt.calibration(model) takes that of several)",
                stacklevel=2,
            )
            moves = True
        if not moves:
            return Range(self.range[0] / self.range[2], self.range[1] / self.range[2]), False
        found = self.quantiser.range_of(x.detach(), self.batch)
        if not _recomputing():
            self._move(found)
        return found, True

    def _move(self, found: Range) -> None:
        """Move the running average, which keeps its value where the range is not finite."""
        new = torch.stack((found.lo, found.hi, torch.ones_like(found.lo)))
        if new.shape != self.range.shape:  # the first range: how many channels there are is known now
            self.range = torch.zeros_like(new)
        if found.lo.device.type == "cpu" and not torch.compiler.is_compiling():
            lo, hi = found.lo.min().item(), found.hi.max().item()
            if not (math.isfinite(lo) and math.isfinite(hi)):
                raise NonFiniteInput(
                    f"input of layer {self.name} ranges from {lo} to {hi}; "
                    f"allowed: finite numbers{self._healthy()}"
                )
            self.range.copy_(self._moved(new))
        else:
            # Elsewhere nobody waits for the values: the output is then not finite either, and tells.
            self.range.copy_(torch.where(new.isfinite().all(), self._moved(new), self.range))

    def _moved(self, new: Tensor) -> Tensor:
        """The running average after ``new``."""
        if self.micro_batches == 1:
            return self.range * MOMENTUM + new * (1 - MOMENTUM)
        return self.range + (new - self.range) * share_of_part(MOMENTUM, self.micro_batches)

    def _write(self, fw: int | None, bw: int | None) -> None:
        if fw is not None:
            self.fw_bits.fill_(fw)
            self._full_fw, self._in_byte = fw == FULL_PRECISION, FULL_PRECISION < fw <= MOST_BITS
        if bw is not None:
            self.bw_bits.fill_(bw)
            self._full_bw, self._gradient_in_byte = bw == FULL_PRECISION, FULL_PRECISION < bw <= MOST_BITS
        self._written = self._versions()

    def _versions(self) -> tuple[int, int]:
        """Counts of the writes to the bits, by which those of others are noticed."""
        return _version(self.fw_bits), _version(self.bw_bits)

    def _follow(self) -> None:
        """Where others wrote to the bits: take those of the layer this one was copied from, or theirs."""
        if torch.compiler.is_compiling() or self._versions() == self._written or self.fw_bits.is_meta:
            return
        source = self._source() if self._source is not None else None
        if source is not None:
            source._follow()
        written = source or self
        self._write(int(written.fw_bits), int(written.bw_bits))

    def _load_from_state_dict(
        self, state_dict: dict[str, Any], prefix: str, local_metadata: Mapping[str, Any], *args: Any
    ) -> None:
        self.check_state(local_metadata, self.name)
        if not any(prefix + name in state_dict for name in self._buffers):
            # The state of a float model: weights are all it has to say.
            if self.soft_bits is not None:
                state_dict.setdefault(f"{prefix}soft_bits.beta", self.soft_bits.beta.detach())
            return
        if self._holder is not None and self._holder() is not None:
            for name in ("fw_bits", "bw_bits"):
                state_dict[prefix + name] = getattr(self, name).clone()
        saved = state_dict.get(f"{prefix}range")
        if saved is not None and saved.dim() == 2:  # a range for each channel
            self.range = self.range.new_zeros(saved.shape)
        super()._load_from_state_dict(state_dict, prefix, local_metadata, *args)
        self._source = None
        if not self.fw_bits.is_meta:
            self._write(int(self.fw_bits), int(self.bw_bits))

    def _apply(self, *args: Any, **options: Any) -> LayerPrecision:
        self._follow()
        super()._apply(*args, **options)
        self._written = self._versions()
        return self

    def __deepcopy__(self, memo: dict[int, Any]) -> LayerPrecision:
        new = type(self).__new__(type(self))
        memo[id(self)] = new
        self._follow()
        vars(new).update(copy.deepcopy(vars(self) | {"observer": None}, memo))
        new._source, new._holder, new._written = weakref.ref(self), None, new._versions()
        return new

    def __getstate__(self) -> dict[str, Any]:
        self._follow()
        return vars(self) | {"_source": None, "_holder": None, "observer": None}

    def __setstate__(self, state: dict[str, Any]) -> None:
        super().__setstate__(state)
        self._written = self._versions()

    def extra_repr(self) -> str:
        fw, bw = self.get_bits()
        return f"{self.quantiser}, layer={self.layer}, fw={fw}, bw={bw}"


def part_precision(module: nn.Module, part: str) -> LayerPrecision:
    """The precision of one product of a layer that has several."""
    item = module.get_submodule(f"precision_{part}")
    assert isinstance(item, LayerPrecision)
    return item


def without_precision(kind: type[Layer], module: nn.Module) -> Layer:
    """A quantised layer as a float one: all it holds but its precisions."""
    new = adopt(kind, module)
    for name, child in module.named_children():
        if isinstance(child, LayerPrecision):
            delattr(new, name)
    return new


def _recomputing() -> bool:
    """Whether a backward pass is under way: a forward inside one is a checkpointed one, run again."""
    return not torch.compiler.is_compiling() and torch._C._current_graph_task_id() != -1


def _version(x: Tensor) -> int:
    """How often ``x`` was written to; inference tensors do not count."""
    return 0 if x.is_inference() else x._version


class LearnedBits(nn.Module):
    """Bits of one layer from a learnable ``beta`` in 0..1: ``beta*(hi - lo) + lo`` (LDP)."""

    def __init__(self, lo: int, hi: int, beta: float = 1.0, device: torch.device | None = None) -> None:
        super().__init__()
        self.lo, self.hi = lo, hi
        self.beta = nn.Parameter(torch.tensor(beta, device=device))

    def forward(self) -> Tensor:
        """Real-valued bits, with a gradient."""
        return self.beta * (self.hi - self.lo) + self.lo

    def hard(self) -> Tensor:
        """Bits in force: rounded to nearest and kept within the bounds; int32."""
        return self.forward().detach().round().clamp(self.lo, self.hi).to(torch.int32)
