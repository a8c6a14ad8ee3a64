"""PFQ, the progressive baseline: precision moves on when the loss stops falling (docs/numerics.md).

Source: FracTrain (NeurIPS 2020), progressive fractional quantisation.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from torch import nn

from cpt.model.layer_precisions import number_apart, precisions, set_precision
from cpt.model.schedule import check_bits
from cpt.model.schedulers import check_run

FW_STAGES = (3, 4, 6, 8)
BW_STAGES = (6, 6, 8, 8)


class ProgressiveFractional:
    """Steps through stages of precision; call `step` with the mean training loss of every epoch.

    The stage advances when the last ``window`` losses, divided by the mean of the run's first
    ``scale_epochs``, all differ from the newest by at most ``eps``. ``eps`` is multiplied by ``decay`` after
    the first two advances; the window starts afresh.
    """

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
        self.model, self.fw, self.bw = model, fw, bw
        self.decay, self.window, self.scale_epochs = decay, window, scale_epochs
        self.eps, self.stage = eps, 0
        self._first: list[float] = []
        self._recent: list[float] = []
        self._checked = False
        number_apart(model)
        self._apply()
        for item in precisions(model).values():
            item.hold(self)

    def step(self, loss: float) -> tuple[int, int]:
        """Take in an epoch's loss and give the (fw, bw) of the next epoch.

        The first call raises `ValueError` naming layers that have not run although others have.
        """
        if not self._checked:
            check_run(list(precisions(self.model).values()))
            self._checked = True
        if len(self._first) < self.scale_epochs:
            self._first.append(loss)
        self._recent = [*self._recent, loss][-self.window :]
        if self.stage < len(self.fw) - 1 and self._flat():
            self.stage += 1
            self._recent = []
            if self.stage <= 2:
                self.eps *= self.decay
        return self._apply()

    def get_last_bits(self) -> tuple[int, int]:
        """(fw, bw) in force."""
        return self.fw[self.stage], self.bw[self.stage]

    def state_dict(self) -> dict[str, Any]:
        """Stage, threshold and the losses remembered."""
        return {"stage": self.stage, "eps": self.eps, "first": self._first, "recent": self._recent}

    def load_state_dict(self, state: Mapping[str, Any]) -> None:
        """Go on from a saved state."""
        stage = state["stage"]
        if not 0 <= stage < len(self.fw):
            raise ValueError(f"stage is {stage}; allowed: 0..{len(self.fw) - 1}")
        self.stage, self.eps = stage, state["eps"]
        self._first, self._recent = list(state["first"]), list(state["recent"])
        self._apply()

    def _flat(self) -> bool:
        """Whether the loss has stopped falling."""
        if len(self._recent) < self.window:
            return False
        scale = sum(self._first) / len(self._first)
        return all(abs(loss - self._recent[-1]) <= self.eps * scale for loss in self._recent)

    def _apply(self) -> tuple[int, int]:
        fw, bw = self.get_last_bits()
        set_precision(self.model, fw, bw)
        return fw, bw
