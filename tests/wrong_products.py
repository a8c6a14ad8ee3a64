"""How many flipped bits give wrong products in silence, and how many of those the host's check sees.

``python tests/wrong_products.py --flips 300 --seed 1``: each flip is one bit of one data beat of the compiled
``tiny`` machine, on its way from or to memory, in a product of its own.
"""

from __future__ import annotations

import argparse
import time
from collections import Counter

import numpy as np
from driven import Multiplication, backend, codes, opened

from cpt.host.errors import DeviceError
from cpt.host.packing import pack_operand
from cpt.host.product_check import wrong_rows
from cpt.sim.faults import Faults, Flip
from cpt.sim.memory import Channel

M, N, K, BITS = 13, 21, 150, (3, 5)
RAISED, RIGHT, SEEN, UNSEEN = "an error was raised", "the product is right", "wrong, seen", "wrong, not seen"


def outcomes(flips: int, seed: int) -> Counter[str]:
    """What became of ``flips`` flipped bits, each on a random channel, beat and bit."""
    rng = np.random.default_rng(seed)
    found: Counter[str] = Counter()
    machine = backend("rtl")
    with opened(machine) as accelerator:
        work = Multiplication(accelerator, codes(rng, M, K, BITS[0]), codes(rng, N, K, BITS[1]), bits=BITS)
        right = work.product()
        gemm = work.gemm
        places = dict(zip(Channel, ("a", "b", "c"), strict=True))
        for _ in range(flips):
            channel = Channel(int(rng.integers(3)))
            start = getattr(gemm, f"addr_{places[channel]}")
            end = start + getattr(gemm, f"layout_{places[channel]}").nbytes
            beat = int(rng.integers((end - start) // 8))
            machine.faults = Faults(flips=(Flip(channel, beat, int(rng.integers(64)), start, end),))
            try:
                product = work.product()
            except DeviceError:
                found[RAISED] += 1
                continue
            same = (product.values == right.values).all() and (product.col_sums == right.col_sums).all()
            seen = wrong_rows(work.a, work.b, product.values, product.col_sums).size > 0
            found[RIGHT if same and not seen else SEEN if seen else UNSEEN] += 1
        machine.faults = Faults()
    return found


def cost() -> float:
    """Seconds of the check over those of packing both operands, for a layer of ResNet-20 at 8 bits."""
    from cpt.host.program import Gemm
    from cpt.hw.contract import preset

    rng = np.random.default_rng(1)
    a, b = (rng.integers(0, 256, (count, 288), np.uint8) for count in (32, 4096))
    gemm = Gemm(preset("zc706"), len(a), len(b), 288, 0, 1, 0, 0, 0, 8, 8, True)
    room = np.zeros(max(gemm.layout_a.nbytes, gemm.layout_b.nbytes), np.uint8)
    values, sums = a.astype(np.int64) @ b.T.astype(np.int64), b.sum(axis=1)
    best = [1e9, 1e9]
    for _ in range(5):
        start = time.process_time()
        pack_operand(a, gemm.layout_a, 8, room)
        pack_operand(b, gemm.layout_b, 8, room)
        packed = time.process_time()
        wrong_rows(a, b, values, sums)
        best = [min(best[0], packed - start), min(best[1], time.process_time() - packed)]
    return best[1] / best[0]


def main() -> None:
    """Print both figures."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--flips", type=int, default=300)
    parser.add_argument("--seed", type=int, default=1)
    options = parser.parse_args()
    for name, count in sorted(outcomes(options.flips, options.seed).items()):
        print(f"{count:4} of {options.flips}: {name}")
    print(f"a check takes {100 * cost():.0f} % of the time of packing the operands it checks")


if __name__ == "__main__":
    main()
