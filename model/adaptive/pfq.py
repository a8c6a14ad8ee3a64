"""PFQ, the progressive baseline: precision moves on when the loss stops falling (docs/numerics.md)."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, ClassVar

from torch import nn

from cpt.model.adaptive.rule import AdaptivePrecision, Bits, Rule, StepStatistics
from cpt.model.schedule import check_bits

FW_STAGES = (3, 4, 6, 8)
BW_STAGES = (6, 6, 8, 8)


class Pfq(Rule):
    """All layers at one stage of precision, gradients included; looks at the mean training loss of epochs.

    The stage advances when the last ``window`` losses, divided by the mean of the run's first
    ``scale_epochs``, all differ from the newest by at most ``eps``. ``eps`` is multiplied by ``decay`` after
    the first two advances; the window starts afresh.
    """

    source = "FracTrain, progressive fractional quantisation (NeurIPS 2020)"
    apart: ClassVar[bool] = False

    def __init__(
        self,
        fw: tuple[int, ...] = FW_STAGES,
        bw: tuple[int, ...] = BW_STAGES,
        eps: float = 0.05,
        decay: float = 0.3,
        window: int = 5,
        scale_epochs: int = 10,
    ) -> None:
        if len(fw) != len(bw) or not fw:
            raise ValueError(
                f"stages are {len(fw)} of fw and {len(bw)} of bw; allowed: equally many, at least 1"
            )
        fw, bw = (tuple(check_bits("stage", bits) for bits in stages) for stages in (fw, bw))
        for name, value, least in (
            ("eps", eps, 1e-12),
            ("window", window, 2),
            ("scale_epochs", scale_epochs, 1),
        ):
            if value < least:
                raise ValueError(f"{name} is {value}; allowed: at least {least}")
        super().__init__(min(fw), max(fw), interval=1)
        self.fw, self.bw = fw, bw
        self.decay, self.window, self.scale_epochs = decay, window, scale_epochs
        self.eps, self.stage = eps, 0
        self._first: list[float] = []
        self._recent: list[float] = []

    def begin(self) -> tuple[int, int]:
        return self.bits

    @property
    def bits(self) -> tuple[int, int]:
        """(fw, bw) of the stage."""
        return self.fw[self.stage], self.bw[self.stage]

    def observe(self, statistics: StepStatistics) -> Bits:
        loss = statistics.loss
        if loss is None:
            raise ValueError("loss is None; allowed: the mean training loss of an epoch")
        if len(self._first) < self.scale_epochs:
            self._first.append(loss)
        self._recent = [*self._recent, loss][-self.window :]
        if self.stage == len(self.fw) - 1 or not self._flat():
            return {}
        self.stage += 1
        self._recent = []
        if self.stage <= 2:
            self.eps *= self.decay
        return dict.fromkeys(self.names, self.bits)

    def state_dict(self) -> dict[str, Any]:
        return {"stage": self.stage, "eps": self.eps, "first": self._first, "recent": self._recent}

    def load_state_dict(self, state: Mapping[str, Any]) -> None:
        stage = state["stage"]
        if not 0 <= stage < len(self.fw):
            raise ValueError(f"stage is {stage}; allowed: 0..{len(self.fw) - 1}")
        self.stage, self.eps = stage, state["eps"]
        self._first, self._recent = list(state["first"]), list(state["recent"])

    def _flat(self) -> bool:
        """Whether the loss has stopped falling."""
        if len(self._recent) < self.window:
            return False
        scale = sum(self._first) / len(self._first)
        return all(abs(loss - self._recent[-1]) <= self.eps * scale for loss in self._recent)


class ProgressiveFractional:
    """A model's bits by `Pfq`, whose options these are; call `step` with each epoch's mean training loss."""

    def __init__(
        self,
        model: nn.Module,
        fw: tuple[int, ...] = FW_STAGES,
        bw: tuple[int, ...] = BW_STAGES,
        eps: float = 0.05,
        decay: float = 0.3,
        window: int = 5,
        scale_epochs: int = 10,
    ) -> None:
        self.rule = Pfq(fw, bw, eps, decay, window, scale_epochs)
        self._adaptive = AdaptivePrecision(model, self.rule)

    def step(self, loss: float) -> tuple[int, int]:
        """Take in an epoch's loss and give the (fw, bw) of the next epoch.

        The first call raises `ValueError` naming layers that have not run although others have.
        """
        self._adaptive.step(loss)
        return self.get_last_bits()

    def get_last_bits(self) -> tuple[int, int]:
        """(fw, bw) in force."""
        return self.rule.bits

    def state_dict(self) -> dict[str, Any]:
        """Stage, threshold and the losses remembered."""
        return self.rule.state_dict()

    def load_state_dict(self, state: Mapping[str, Any]) -> None:
        """Go on from a saved state."""
        self.rule.load_state_dict(state)
        for item in self._adaptive.layers.values():
            item.set_bits(*self.rule.bits)
