"""The papers' bit counts, computed beside published, with the reason wherever they cannot be reproduced."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass
from typing import Any

from cpt.model.architecture import cifar_resnet, imagenet_resnet, mobilenet_v2
from cpt.model.architecture.layers import Layer
from cpt.model.bitops import PAPER_ITERATIONS, run_gbitops, saving
from cpt.model.cyclic import Repeated
from cpt.model.published import ROWS, STATIC, Published
from cpt.model.schedule import Curve, Plan, Static

PAPER_CYCLES = 32

_NETWORKS: dict[str, Callable[[], Sequence[Layer]]] = {
    **{f"ResNet-{depth}": lambda depth=depth: cifar_resnet(depth).layers for depth in (20, 38, 74, 164)},  # type: ignore[misc]
    **{f"ResNet-{depth}": lambda depth=depth: imagenet_resnet(depth).layers for depth in (18, 34, 50)},  # type: ignore[misc]
    "MobileNetV2": mobilenet_v2,
}
_LEARNED = "the precision depends on the training run"
_SIZE = "the paper gives neither the network's size nor the number of samples; its savings reproduce"
LDP_CIFAR_INFERENCE = 32
"""Bit operations per multiply-accumulate behind LDP's inference costs on CIFAR: compare ratios only."""


@dataclass(frozen=True)
class Comparison:
    """A published row and what this library computes."""

    table: str
    model: str
    method: str
    fw: tuple[int, ...]
    bw: tuple[int, ...]
    published: float
    """1e9 bit operations of the run."""
    computed: float | None
    """The same; None where there is nothing to compute it from."""
    difference: float | None
    """``computed / published - 1``."""
    published_saving: float | None
    """Against the static row at the upper bound of the same table; None for static rows."""
    computed_saving: float | None
    reproducible: bool
    reason: str
    """Why the row cannot be reproduced, else empty."""

    def as_dict(self) -> dict[str, Any]:
        """All fields by name, for JSON."""
        return asdict(self)


def compare_all() -> list[Comparison]:
    """Every row of the papers' tables of training cost."""
    return [_compare(row) for row in ROWS]


def paper_plan(fw: tuple[int, ...], bw: tuple[int, ...]) -> Plan:
    """The precision behind a row: cosine, 32 cycles, stepped per iteration."""

    def curve(bits: tuple[int, ...]) -> Curve:
        if len(bits) == 1:
            return Static(bits[0])
        return Repeated(bits[0], bits[1], PAPER_ITERATIONS, PAPER_CYCLES)

    return Plan(curve(fw), curve(bw))


def _compare(row: Published) -> Comparison:
    reason = _reason(row)
    known = row.method not in ("LDP", "PFQ")
    computed = difference = saved = static_saving = None
    plan, steps = paper_plan(row.fw, row.bw), PAPER_ITERATIONS if len(row.fw) > 1 else 1
    if known and row.model in _NETWORKS:
        computed = run_gbitops(_NETWORKS[row.model](), plan, steps)
        difference = computed / row.gbitops - 1
    if len(row.fw) > 1:
        static_saving = _published_saving(row)
        if known:
            saved = saving(plan, paper_plan(row.fw[-1:], row.bw), steps)
    return Comparison(
        row.table,
        row.model,
        row.method,
        row.fw,
        row.bw,
        row.gbitops,
        computed,
        difference,
        static_saving,
        saved,
        not reason,
        reason,
    )


def _published_saving(row: Published) -> float | None:
    """Share of bit operations the paper's row saves against its static row; None if it has no such row."""
    for other in ROWS:
        same = (other.table, other.model, other.fw, other.bw)
        if other.method == STATIC and same == (row.table, row.model, row.fw[-1:], row.bw):
            return 1 - row.gbitops / other.gbitops
    return None


def _reason(row: Published) -> str:
    if row.method in ("LDP", "PFQ"):
        return _LEARNED
    if row.table == "LDP 6":
        return "CPT Table 5 prints the same number for FW6/BW8"
    if row.model == "Transformer" and row.fw == (4, 6):
        return "the saving printed, 22.4 %, is 20.0 % by the paper's formula; absolute: see FW8"
    if row.model == "DeiT-Tiny":
        return "the paper does not give the number of samples; the saving reproduces"
    if row.model not in _NETWORKS:
        return _SIZE
    if (row.table, row.model) == ("LDP 3", "ResNet-20"):
        return (
            f"the same table's inference cost, {row.inference_gbitops} = {LDP_CIFAR_INFERENCE} * MACs, "
            "is that of 41 million MACs, whose training costs 0.648e8"
        )
    return ""
