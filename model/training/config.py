"""What a torch training run is: one frozen, validated record, printed into every artefact."""

from __future__ import annotations

import dataclasses
import math
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from cpt.model import recorded
from cpt.model.adaptive import RULES
from cpt.model.adaptive.pfq import BW_STAGES, FW_STAGES
from cpt.model.config import QuantConfig
from cpt.model.micro_batch import micro_batches
from cpt.model.quantisers import DEFAULT, make_quantiser, with_options
from cpt.model.run_config import RunConfig
from cpt.model.training.learning_rate import LearningRate

METHODS = (
    "cpt",
    "static",
    "fp32",
    "ldp",
    "pfq",
    "progressive",
    "random",
    "reversed",
    "shuffled",
    "window",
    *RULES,
)
OPTIMISERS = ("sgd", "adam", "adamw")
AMP = ("off", "bf16")


@dataclass(frozen=True)
class TorchConfig(RunConfig):
    """Everything that decides the trained weights, except the data, the code and the kind of device.

    Raises `ValueError` naming field, value and what is allowed.
    """

    model: str = "resnet8"
    width: int = 16
    """Channels of a residual network's first stage; width of a language model; channels of PAN."""
    method: str = "cpt"
    fw: tuple[int, int] = (3, 8)
    """Lowest and highest bits of weights and activations; equal ones make the run static."""
    bw: tuple[int, int] = (8, 8)
    """Lowest and highest bits of gradients; unequal ones cycle with ``fw``."""
    quantiser: str = DEFAULT
    quantiser_options: Mapping[str, Any] = field(default_factory=dict, hash=False)
    """Those that are not its defaults."""
    products: str = "float32"
    """Of linear layers: one of `cpt.model.config.PRODUCTS`."""
    cycles: int = 3
    per: str = "epoch"
    shape: str = "cosine"
    delay: int = 0
    """Epochs or iterations (as ``per`` says) at the lowest precision before the cycles begin."""
    every: int = 1
    """Method ``random``: epochs or iterations between changes."""
    window_start: int = 0
    """Method ``window``: epochs or iterations at the upper bound before those at the lower one."""
    window_length: int = 0
    eval_bits: int = 0
    """Forward bits of evaluation; 0 stands for the upper bound, or the learned bits of ``ldp``."""
    ldp_target: float = 0.6
    ldp_alpha: float = 1.0
    ldp_lr: float = 0.1
    look_every: int = 20
    """Methods of `cpt.model.adaptive.RULES`: steps from one look at the training to the next."""
    pfq_fw: tuple[int, ...] = FW_STAGES
    """Stages of method ``pfq``, in place of ``fw``."""
    pfq_bw: tuple[int, ...] = BW_STAGES
    pfq_eps: float = 0.05
    epochs: int = 18
    steps: int = 0
    """If above 0: length of the run in steps instead of epochs; the precision then moves per step."""
    batch_size: int = 32
    """Samples per step, over all processes."""
    micro_batch: int = 0
    """Samples of each micro-batch, over all processes; 0: the step's batch as one."""
    optimiser: str = "sgd"
    lr: float = 0.1
    lr_schedule: str = "cosine"
    lr_cycles: int = 3
    lr_drop_epochs: int = 0
    """Schedule ``step``: times 0.1 every so many epochs; 0: at 50 % and 75 % of the run."""
    lr_drops: tuple[int, ...] = ()
    """Schedule ``step``: falls at these steps instead."""
    lr_drop_ratio: float = 0.1
    """What the rate is multiplied by at a fall; its square is the end of ``anneal_cosine``."""
    warmup_steps: int = 0
    warmup_lr: float = 0.0
    """Constant rate of the warm-up; 0: it rises in a straight line."""
    momentum: float = 0.9
    weight_decay: float = 1e-4
    clip: float = 0.0
    """Largest norm of all gradients; 0: not limited."""
    dropout: float = 0.0
    sequence: int = 64
    """Tokens of a training sequence."""
    swa_start: float = 0.0
    """Share of the run after which every epoch's weights are averaged; 0: never."""
    amp: str = "off"
    """``bf16``: layers in full precision compute in bfloat16; quantised ones stay in float32."""
    max_shift: int = 0
    """Padding that training images are cropped out of at random, where the data set does not say."""
    seed: int = 0

    def __post_init__(self) -> None:
        self._one_of(method=METHODS, optimiser=OPTIMISERS, amp=AMP)
        super().__post_init__()
        self._bounds("bw")
        self._at_least(1, "every", "look_every", "lr_cycles", "sequence")
        self._at_least(0, "delay", "warmup_steps", "lr_drop_epochs", "window_start", "window_length")
        self._at_most(swa_start=1.0, clip=math.inf, dropout=1.0)
        self._at_most(lr_drop_ratio=1.0, warmup_lr=100.0)
        if any(step < 0 for step in self.lr_drops):
            raise ValueError(f"lr-drops is {' '.join(map(str, self.lr_drops))}; allowed: steps from 0")
        self._at_most(ldp_target=1.0, ldp_alpha=math.inf, ldp_lr=math.inf, pfq_eps=math.inf)
        if self.learns_bits:
            self._require("fw", self.fw[0] < self.fw[1], f"two different bounds for {self.method}")
        plug = self.quantisation().plug
        object.__setattr__(self, "quantiser_options", plug.not_defaults(plug.options()))
        own = plug.optimiser_kind
        self._require("optimiser", own in ("", self.optimiser), f"{own} with quantiser {self.quantiser}")
        self._at_least(0, "micro_batch")
        micro_batches(self.batch_size, self.micro_batch)
        LearningRate(self.lr_schedule, self.lr, 1)

    def quantisation(self) -> QuantConfig:
        """How layers are quantised."""
        return QuantConfig(
            make_quantiser(self.quantiser, self.quantiser_options),
            self.fw[1],
            self.bw[1],
            self.seed,
            products=self.products,
        )

    @property
    def learns_bits(self) -> bool:
        """Whether bits per layer come out of the training."""
        return self.method == "ldp" or self.method in RULES

    @property
    def planned(self) -> bool:
        """Whether bits follow a plan that is known beforehand."""
        return not self.learns_bits and self.method != "pfq"

    @property
    def micro_batches(self) -> int:
        """Micro-batches of a step."""
        return micro_batches(self.batch_size, self.micro_batch)

    @property
    def evaluation_bits(self) -> int | None:
        """Forward bits of evaluation; 0 for full precision, None for the bits that training has found."""
        if self.method == "fp32":
            return 0
        if self.learns_bits and not self.eval_bits:
            return None
        return self.eval_bits or self.highest[0]

    @property
    def highest(self) -> tuple[int, int]:
        """(fw, bw) that the run ends at."""
        if self.method == "pfq":
            return self.pfq_fw[-1], self.pfq_bw[-1]
        return self.fw[1], self.bw[1]

    def difference(self, other: Mapping[str, Any]) -> str | None:
        record = _as_today(other)
        if record.get("quantiser", recorded.QUANTISER) == self.quantiser:
            options = record.get("quantiser_options", {})
            record["quantiser_options"] = self.quantisation().plug.not_defaults(options)
        return super().difference(record)

    def static(self) -> TorchConfig:
        """The same run at the upper bounds throughout."""
        fw, bw = self.highest
        return dataclasses.replace(self, method="static", fw=(fw, fw), bw=(bw, bw))

    @classmethod
    def from_dict(cls, values: Mapping[str, Any]) -> TorchConfig:
        """What `as_dict` gave, in this version or before; raises `ValueError` naming a field that is none."""
        values = _as_today(values)
        names = {field.name for field in dataclasses.fields(cls)}
        if odd := sorted(set(values) - names):
            raise ValueError(f"config has {odd[0]!r}; allowed: fields of this version")
        given: dict[str, Any] = {
            name: tuple(value) if isinstance(value, list) else value for name, value in values.items()
        }
        return cls(**given)


def _as_today(record: Mapping[str, Any]) -> dict[str, Any]:
    """A recorded configuration as this version writes it."""
    values = with_options(record)
    if "shape" in values:
        values["shape"] = recorded.SHAPES.get(values["shape"], values["shape"])
    return values
