"""cpt.hw.move.pack: planes of weights end where and as the exact model puts them."""

from __future__ import annotations

import random

import pytest
from hw_move import Rig

from cpt.hw.contract.passes import Store
from cpt.hw.contract.step import Engine
from cpt.sim.step.state import Slot


def weights(rows: int, channels: int, taps: int, *, turned: bool) -> dict[str, int]:
    """Strides of weights [output][tap][input] in local memory, rows as the compiler loads them."""
    if turned:  # a word of every row side by side
        return {"row_stride": 1, "place_stride": rows if taps > 1 else 0, "stride": -taps * rows}
    return {"row_stride": taps * channels, "place_stride": channels if taps > 1 else 0, "stride": 1}


@pytest.mark.parametrize(
    ("name", "rows", "channels", "taps", "turned", "bits", "stall"),
    [
        ("tiny", 4, 8, 9, False, 3, 0.0),
        ("tiny", 4, 6, 9, True, 8, 0.3),
        ("tiny", 3, 3, 9, False, 1, 0.0),
        ("tiny", 10, 4, 9, True, 2, 0.0),
        ("tiny", 4, 40, 1, False, 5, 0.2),
        ("tiny", 7, 30, 1, True, 16, 0.0),
        ("middle", 8, 8, 9, True, 4, 0.0),
        ("middle", 5, 80, 1, False, 3, 0.1),
        ("zc706", 16, 16, 9, False, 2, 0.0),
    ],
)
def test_planes_are_those_of_the_exact_model(
    name: str, rows: int, channels: int, taps: int, turned: bool, bits: int, stall: float
) -> None:
    rig = Rig(name, bits, stall)
    rig.slot(7, Slot(bits))
    per_step = rig.state.group * (1 if taps > 1 else 9)
    rig.add(
        Store.PACK,
        offset=0x208,
        slot=7,
        words=channels,
        runs=rows,
        ksteps=-(-channels // per_step),
        place=random.Random(bits).randrange(9000),
        **weights(rows, channels, taps, turned=turned),
    )
    rig.run()


def test_a_k_step_without_channels_is_zero_and_moves_follow() -> None:
    rig = Rig("tiny", 2, 0.2)
    rig.slot(0, Slot(2))
    rig.add(Store.SCRATCH, offset=0x8000, words=5, runs=1, place=0)
    strides = weights(4, 4, 9, turned=False)
    rig.add(Store.PACK, offset=0x1000, words=4, runs=4, ksteps=3, place=5, **strides)
    rig.add(Store.LOCAL, offset=0x4000, words=20, runs=1, place=40)
    rig.add(Store.PACK, offset=0x2000, words=4, runs=4, ksteps=1, place=8000, **strides)
    rig.run()


@pytest.mark.parametrize("ksteps", [1, 2])
def test_some_k_steps_of_a_plane_leave_the_others_alone(ksteps: int) -> None:
    rig = Rig("tiny", 3, 0.2)
    rig.slot(2, Slot(3))
    strides = weights(4, 4 * ksteps, 9, turned=False)
    rig.add(
        Store.PACK,
        offset=0x1000 + 24,
        slot=2,
        words=4 * ksteps,
        runs=4,
        ksteps=ksteps,
        all_ksteps=5,
        place=9,
        **strides,
    )
    rig.run()


def test_a_code_is_read_a_cycle() -> None:
    rig = Rig("middle", 3, 0.0)
    rig.slot(0, Slot(3))
    rig.add(Store.PACK, offset=0, words=8, runs=8, ksteps=1, place=0, **weights(8, 8, 9, turned=False))
    rig.run()
    codes, beats = 8 * 72, 3 * 9
    assert rig.cycles[Engine.STORE][0] < codes + beats + 80
