"""EXEC engine: the order of steps, and who waits for whom."""

from amaranth import Module, Signal
from amaranth.lib import stream, wiring
from amaranth.lib.wiring import In, Out, connect, flipped

from cpt.hw.contract import ArrayConfig
from cpt.hw.contract.machine import MACHINE, array_latency_cycles, collector_latency_cycles
from cpt.hw.contract.order import tile_interval_cycles
from cpt.hw.layouts import exec_command, step_layout
from cpt.hw.matrix.sequencer import Sequencer


def most_in_flight(config: ArrayConfig) -> int:
    """Tiles between their last step and the end of their collection, at most."""
    cycles = 1 + array_latency_cycles(config) + collector_latency_cycles(config)
    return -(-cycles // tile_interval_cycles(config)) + 1


class Executor(wiring.Component):
    """Lets the `Sequencer` take a step whenever operands and result path allow it.

    Parameters: ``config``.
    Members: ``commands`` (in); ``valid``, ``step`` (out, registered): the step for buffers and array;
    ``a_loaded``, ``b_loaded``: a block is in its buffer; ``a_release``, ``b_release``: a block is done with;
    ``collected``: the collector has finished a tile; ``tile_free``: DRAIN has sent a result tile; ``busy``,
    ``wait_fetch``, ``wait_drain``: what this cycle was spent on; ``stop``; ``idle``: nothing to do, nothing
    in flight.
    Latency one cycle from token to step.
    """

    def __init__(self, config: ArrayConfig):
        self.config = config
        self._step = step_layout(config)
        super().__init__(
            {
                "commands": In(stream.Signature(exec_command(config))),
                "valid": Out(1),
                "step": Out(self._step),
                "a_loaded": In(1),
                "b_loaded": In(1),
                "a_release": Out(1),
                "b_release": Out(1),
                "collected": In(1),
                "tile_free": In(1),
                "busy": Out(1),
                "wait_fetch": Out(1),
                "wait_drain": Out(1),
                "stop": In(1),
                "idle": Out(1),
            }
        )

    def elaborate(self, platform):
        m = Module()
        config = self.config
        m.submodules.sequencer = sequencer = Sequencer(config)
        connect(m, flipped(self.commands), sequencer.commands)
        step_in, step_out = sequencer.step, self.step

        a_ready = Signal(range(MACHINE.halves + 1))
        b_ready = Signal(range(MACHINE.halves + 1))
        a_half, b_half = Signal(), Signal()
        free_tiles = Signal(range(MACHINE.result_tiles + 1), init=MACHINE.result_tiles)
        open_tile = Signal(init=MACHINE.result_tiles - 1)
        collect_wait = Signal(range(tile_interval_cycles(config)))
        in_flight = Signal(range(most_in_flight(config) + 1))

        running, operands_ready, result_blocked = Signal(), Signal(), Signal()
        issue, ends_tile, takes_tile = Signal(), Signal(), Signal()
        m.d.comb += [
            running.eq(sequencer.active & ~self.stop),
            operands_ready.eq((a_ready != 0) & (b_ready != 0)),
            result_blocked.eq(
                sequencer.tile_last & ((collect_wait != 0) | (sequencer.first & (free_tiles == 0)))
            ),
            issue.eq(running & operands_ready & ~result_blocked),
            sequencer.issue.eq(issue),
            ends_tile.eq(issue & sequencer.tile_last),
            takes_tile.eq(ends_tile & sequencer.first),
            self.b_release.eq(issue & sequencer.block_last),
            self.a_release.eq(issue & sequencer.command_last & sequencer.release_a),
            self.busy.eq(issue),
            self.wait_fetch.eq(running & ~operands_ready),
            self.wait_drain.eq(running & operands_ready & result_blocked),
            self.idle.eq(~sequencer.active & (in_flight == 0)),
        ]
        m.d.sync += [
            a_ready.eq(a_ready + self.a_loaded - self.a_release),
            b_ready.eq(b_ready + self.b_loaded - self.b_release),
            a_half.eq(a_half ^ self.a_release),
            b_half.eq(b_half ^ self.b_release),
            free_tiles.eq(free_tiles + self.tile_free - takes_tile),
            open_tile.eq(open_tile ^ takes_tile),
            in_flight.eq(in_flight + ends_tile - self.collected),
        ]
        with m.If(ends_tile):
            m.d.sync += collect_wait.eq(tile_interval_cycles(config) - 1)
        with m.Elif(collect_wait != 0):
            m.d.sync += collect_wait.eq(collect_wait - 1)

        m.d.sync += [
            self.valid.eq(issue),
            step_out.eq(step_in),
            step_out.a_addr[-1].eq(a_half),
            step_out.b_addr[-1].eq(b_half),
            step_out.collect.tile.eq(open_tile ^ sequencer.first),
        ]
        return m
