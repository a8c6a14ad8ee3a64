"""Bit operations as both papers print them, in 1e9 bit operations, and hours that CPT's authors measured.

Sources: CPT, ICLR 2021, Tables 2, 3 and 5; LDP, tinyML Research Symposium 2022, Tables 3, 4 and 6.
"""

from __future__ import annotations

from typing import NamedTuple


class Published(NamedTuple):
    """One row of a table."""

    table: str
    model: str
    method: str
    fw: tuple[int, ...]
    """Bits of weights and activations: one number, or lowest and highest."""
    bw: tuple[int, ...]
    gbitops: float
    """Of the whole training run."""
    inference_gbitops: float | None = None
    """Of one image, where the table has it."""


STATIC = "SBM"
"""Method of the static rows that CPT and LDP are compared with."""
ROWS: tuple[Published, ...] = (
    Published("CPT 2", "ResNet-74", "DoReFa", (8,), (8,), 2.67e08),
    Published("CPT 2", "ResNet-74", "WAGEUBN", (8,), (8,), 2.67e08),
    Published("CPT 2", "ResNet-74", "SBM", (8,), (8,), 2.67e08),
    Published("CPT 2", "ResNet-74", "CPT", (3, 8), (8,), 1.68e08),
    Published("CPT 2", "ResNet-74", "DoReFa", (6,), (6,), 1.5e08),
    Published("CPT 2", "ResNet-74", "WAGEUBN", (6,), (6,), 1.5e08),
    Published("CPT 2", "ResNet-74", "SBM", (6,), (6,), 1.5e08),
    Published("CPT 2", "ResNet-74", "CPT", (3, 6), (6,), 1.05e08),
    Published("CPT 2", "ResNet-164", "DoReFa", (8,), (8,), 6.04e08),
    Published("CPT 2", "ResNet-164", "WAGEUBN", (8,), (8,), 6.04e08),
    Published("CPT 2", "ResNet-164", "SBM", (8,), (8,), 6.04e08),
    Published("CPT 2", "ResNet-164", "CPT", (3, 8), (8,), 3.8e08),
    Published("CPT 2", "ResNet-164", "DoReFa", (6,), (6,), 3.4e08),
    Published("CPT 2", "ResNet-164", "WAGEUBN", (6,), (6,), 3.4e08),
    Published("CPT 2", "ResNet-164", "SBM", (6,), (6,), 3.4e08),
    Published("CPT 2", "ResNet-164", "CPT", (3, 6), (6,), 2.37e08),
    Published("CPT 2", "MobileNetV2", "DoReFa", (8,), (8,), 1.49e08),
    Published("CPT 2", "MobileNetV2", "WAGEUBN", (8,), (8,), 1.49e08),
    Published("CPT 2", "MobileNetV2", "SBM", (8,), (8,), 1.49e08),
    Published("CPT 2", "MobileNetV2", "CPT", (4, 8), (8,), 1.04e08),
    Published("CPT 2", "MobileNetV2", "DoReFa", (6,), (6,), 8.39e07),
    Published("CPT 2", "MobileNetV2", "WAGEUBN", (6,), (6,), 8.39e07),
    Published("CPT 2", "MobileNetV2", "SBM", (6,), (6,), 8.39e07),
    Published("CPT 2", "MobileNetV2", "CPT", (4, 6), (6,), 6.63e07),
    Published("CPT 3", "ResNet-18", "SBM", (8,), (8,), 2.86e09),
    Published("CPT 3", "ResNet-18", "CPT", (4, 8), (8,), 1.99e09),
    Published("CPT 3", "ResNet-18", "SBM", (6,), (6,), 1.61e09),
    Published("CPT 3", "ResNet-18", "CPT", (4, 6), (6,), 1.27e09),
    Published("CPT 3", "ResNet-34", "SBM", (8,), (8,), 5.77e09),
    Published("CPT 3", "ResNet-34", "CPT", (4, 8), (8,), 4.03e09),
    Published("CPT 3", "ResNet-34", "SBM", (6,), (6,), 3.24e09),
    Published("CPT 3", "ResNet-34", "CPT", (4, 6), (6,), 2.57e09),
    Published("CPT 3", "ResNet-50", "SBM", (8,), (8,), 6.47e09),
    Published("CPT 3", "ResNet-50", "CPT", (4, 8), (8,), 4.51e09),
    Published("CPT 3", "ResNet-50", "SBM", (6,), (6,), 3.63e09),
    Published("CPT 3", "ResNet-50", "CPT", (4, 6), (6,), 2.87e09),
    Published("CPT 5", "Transformer", "SBM", (8,), (8,), 1.44e06),
    Published("CPT 5", "Transformer", "CPT", (4, 8), (8,), 1e06),
    Published("CPT 5", "Transformer", "SBM", (6,), (8,), 9.87e05),
    Published("CPT 5", "Transformer", "CPT", (4, 6), (8,), 7.66e05),
    Published("CPT 5", "2-LSTM", "SBM", (8,), (8,), 4030),
    Published("CPT 5", "2-LSTM", "CPT", (5, 8), (8,), 3090),
    Published("CPT 5", "2-LSTM", "SBM", (6,), (8,), 2770),
    Published("CPT 5", "2-LSTM", "CPT", (5, 6), (8,), 2480),
    Published("LDP 3", "ResNet-20", "SBM", (8,), (8,), 6.2e07, 1.31),
    Published("LDP 3", "ResNet-20", "PFQ", (3, 8), (8,), 5e07, 1.31),
    Published("LDP 3", "ResNet-20", "LDP", (3, 8), (8,), 4.1e07, 0.71),
    Published("LDP 3", "ResNet-20", "LDP", (4, 8), (8,), 4.1e07, 0.66),
    Published("LDP 3", "ResNet-38", "SBM", (8,), (8,), 1.33e08, 2.69),
    Published("LDP 3", "ResNet-38", "PFQ", (3, 8), (8,), 1.04e08, 2.69),
    Published("LDP 3", "ResNet-38", "LDP", (3, 8), (8,), 8.7e07, 1.35),
    Published("LDP 3", "ResNet-38", "LDP", (4, 8), (8,), 8.7e07, 1.33),
    Published("LDP 3", "ResNet-74", "SBM", (8,), (8,), 2.67e08, 5.42),
    Published("LDP 3", "ResNet-74", "PFQ", (3, 8), (8,), 2.03e08, 5.42),
    Published("LDP 3", "ResNet-74", "LDP", (3, 8), (8,), 1.72e08, 2.83),
    Published("LDP 3", "ResNet-74", "LDP", (4, 8), (8,), 1.72e08, 2.78),
    Published("LDP 4", "ResNet-18", "SBM", (8,), (8,), 2.86e09, 14.6),
    Published("LDP 4", "ResNet-18", "CPT", (4, 8), (8,), 1.99e09, 14.6),
    Published("LDP 4", "ResNet-18", "PFQ", (4, 8), (6, 8), 2.47e09, 14.6),
    Published("LDP 4", "ResNet-18", "LDP", (4, 8), (8,), 1.83e09, 10.1),
    Published("LDP 4", "DeiT-Tiny", "SBM", (8,), (8,), 4.74e09, 9.6),
    Published("LDP 4", "DeiT-Tiny", "CPT", (4, 8), (8,), 3.29e09, 9.6),
    Published("LDP 4", "DeiT-Tiny", "PFQ", (4, 8), (6, 8), 3.96e09, 9.6),
    Published("LDP 4", "DeiT-Tiny", "LDP", (4, 8), (8,), 3.08e09, 6.7),
    Published("LDP 6", "Transformer", "SBM", (8,), (8,), 9.87e05),
    Published("LDP 6", "Transformer", "LDP", (4, 8), (8,), 7.31e05),
)
HOURS: dict[tuple[str, tuple[int, ...], tuple[int, ...]], float] = {
    ("ResNet-74", (8,), (8,)): 44.6,
    ("ResNet-74", (3, 8), (8,)): 35.04,
    ("ResNet-74", (6,), (6,)): 33.2,
    ("ResNet-74", (3, 6), (6,)): 27.5,
    ("ResNet-164", (8,), (8,)): 101.9,
    ("ResNet-164", (3, 8), (8,)): 80.5,
    ("ResNet-164", (6,), (6,)): 76.7,
    ("ResNet-164", (3, 6), (6,)): 63.5,
    ("MobileNetV2", (8,), (8,)): 26.2,
    ("MobileNetV2", (4, 8), (8,)): 21.6,
    ("MobileNetV2", (6,), (6,)): 18.4,
    ("MobileNetV2", (4, 6), (6,)): 15.7,
}
"""Of training on a ZC706, by network, ``fw`` and ``bw`` of a row; CPT, Table 2."""
