"""EXEC engine: plane pairs of commands, and their steps."""

from amaranth import Module
from amaranth.lib import stream, wiring
from amaranth.lib.wiring import In, Out, connect, flipped

from cpt.hw.contract import ArrayConfig
from cpt.hw.contract.machine import MACHINE
from cpt.hw.layouts import exec_command, step_layout
from cpt.hw.matrix.sequencer import Sequencer
from cpt.hw.matrix.steps import Steps

_STATE = {name: In(1) for name in ("a_loaded", "b_loaded", "collected", "tile_free", "stop")} | {
    name: Out(1) for name in ("valid", "a_release", "b_release", "busy", "wait_fetch", "wait_drain")
}


class Executor(wiring.Component):
    """Turns EXEC commands into steps: the `Sequencer` works ahead, `Steps` waits for operands and results.

    Parameters: ``config``; ``result_tiles`` as of `Steps`.
    Members: ``commands`` (in); ``idle``: nothing to do, nothing in flight; all others as in `Steps`.
    All outputs are registers. Latency from a command and from a block: `cpt.hw.contract.machine`.
    """

    def __init__(self, config: ArrayConfig, result_tiles: int = MACHINE.result_tiles):
        self.config, self.result_tiles = config, result_tiles
        super().__init__(
            {
                "commands": In(stream.Signature(exec_command(config))),
                "step": Out(step_layout(config)),
                **_STATE,
                "idle": Out(1, init=1),
            }
        )

    def elaborate(self, platform):
        m = Module()
        m.submodules.sequencer = sequencer = Sequencer(self.config)
        m.submodules.steps = steps = Steps(self.config, self.result_tiles)
        connect(m, flipped(self.commands), sequencer.commands)
        connect(m, sequencer.pairs, steps.pairs)
        m.d.comb += [sequencer.finished.eq(steps.finished), self.step.eq(steps.step)]
        for name, member in _STATE.items():
            here, there = getattr(self, name), getattr(steps, name)
            m.d.comb += there.eq(here) if member.flow == In else here.eq(there)
        # A command that comes counts at once.
        m.d.sync += self.idle.eq(sequencer.none & ~steps.in_flight & ~self.commands.valid)
        return m
