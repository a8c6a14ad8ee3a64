"""Cycles of the float engine between dependent passes: ``python -m cpt.sim.step.barriers``."""

from __future__ import annotations

from cpt.host.compiler import channel
from cpt.host.compiler.lifetimes import Recorder
from cpt.host.compiler.vectors import Vector, Vectors
from cpt.hw.contract import preset
from cpt.hw.contract.floats import LOCAL_WORDS, Space
from cpt.hw.contract.step import Word
from cpt.sim.step.float_cycles import Queue

CONFIG = preset("zc706")
CHANNELS = (16, 32, 64)
PIXELS = 16 * 32 * 32


def program(channels: int, *, forward: bool) -> list[Word]:
    """FLOAT instructions from a drain's statistics to the coefficients of the apply behind it."""
    recorder = Recorder(CONFIG, 1024, LOCAL_WORDS)
    v = Vectors(recorder)
    held = [Vector(Space.LOCAL, channels * number, channels) for number in range(5)]
    statistics = channel.forward_statistics(0, channels, PIXELS)
    if forward:
        norm, _, _ = channel.batch_norm(v, statistics, *held[:3])
        highest = v.highest(channel.highest_output(v, norm, statistics))
        unit = channel.inner_unit(v, norm.factor, highest, 0)
        channel.inner_coefficients(v, 0, norm.factor, norm.mean, norm.beta, unit)
    else:
        norm = channel.Norm(*held)
        errors = channel.error_statistics(channels, channels)
        terms = channel.error_terms(v, norm, statistics, errors, held[0], held[1])
        inverse = v.reciprocal(channel.error_unit(v, [terms], 0))
        channel.error_coefficients(v, 0, terms, inverse)
    return recorder.program().decoded()


def main() -> None:
    """Print a line for each number of channels and direction."""
    for forward in (True, False):
        for channels in CHANNELS:
            found = program(channels, forward=forward)
            queue = Queue(CONFIG.float_lanes)
            cycles = max(queue.run(word, queue.ready)[1] for word in found)
            name = "FORWARD to INNER" if forward else "errors to ERROR"
            print(f"{name}, {channels} channels: {len(found)} instructions, {cycles:,} cycles")


if __name__ == "__main__":
    main()
