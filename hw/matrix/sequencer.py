"""The order of plane pairs of EXEC commands, and where in the buffers their words lie."""

from amaranth import Cat, Module, Mux, Signal
from amaranth.lib import data, stream, wiring
from amaranth.lib.memory import Memory
from amaranth.lib.wiring import In, Out, connect, flipped

from cpt.hw.contract import ArrayConfig
from cpt.hw.contract.machine import MACHINE
from cpt.hw.layouts import exec_command, pair_layout
from cpt.hw.matrix.copies import copies, counted, one_more
from cpt.hw.matrix.plane_pairs import RUNS, PlanePairs
from cpt.hw.matrix.tiles import Tiles

_FLAGS = ("clear", "double", "count", "tile_last")


class Sequencer(wiring.Component):
    """Plane pairs, bubbles among them, of one command after the other, ahead of the array.

    Order, then three cycles in which planes are multiplied by ``ksteps``, then a queue. Nothing behind the
    order can be held up, so the order goes on only while the queue has room for all that is under way.

    Parameters: ``config``.
    Members: ``commands`` (in); ``pairs`` (out); ``finished``: the last step of the oldest command was taken;
    ``none``: no command is held.
    Latency `latency_cycles` from a command to its first pair, a pair per cycle.
    """

    latency_cycles = MACHINE.exec_start_cycles - 2

    def __init__(self, config: ArrayConfig):
        self.config = config
        self._command, self._pair = exec_command(config), pair_layout(config)
        super().__init__(
            {
                "commands": In(stream.Signature(self._command)),
                "pairs": Out(stream.Signature(self._pair)),
                "finished": In(1),
                "none": Out(1),
            }
        )

    def elaborate(self, platform):
        m = Module()
        m.submodules.tiles = tiles = Tiles(self.config)
        m.submodules.order = order = PlanePairs(self.config)
        connect(m, flipped(self.commands), tiles.commands)
        run_next = Signal()
        runs = copies(m, run_next, RUNS, "run", reset_less=False)
        m.d.comb += [
            tiles.finished.eq(self.finished),
            tiles.take.eq(order.take),
            self.none.eq(tiles.none),
            order.tile.eq(tiles.tile),
            order.tile_valid.eq(tiles.valid),
            order.run.eq(Cat(runs)),
            *(into.eq(planes) for into, planes in zip(order.planes, tiles.planes, strict=True)),
        ]
        leaves = order.valid & runs[0]
        valid, pair = self._words(m, order, tiles, leaves)
        self._queue(m, leaves, valid, pair, run_next)
        return m

    def _words(self, m, order, tiles, valid):
        """The pair that leaves the order, with its words, four cycles later; its valid bit."""

        def chosen(slot, member):
            """Of the two commands, that in ``slot``."""
            return Mux(slot, member(1), member(0))

        def later(value, name, reset_less=True):
            signal = Signal(value.shape(), name=name, reset_less=reset_less)
            m.d.sync += signal.eq(value)
            return signal

        held, planes, source = tiles.held, tiles.planes, order.pair
        slot = source.tile.slot
        for n in range(4):
            valid = later(valid, f"valid_{n}", reset_less=False)

        # First cycle: what the command says.
        planes_0 = [later(plane, f"plane_{n}") for n, plane in enumerate((source.plane_a, source.plane_b))]
        ksteps = later(chosen(slot, lambda n: held[n].ksteps), "ksteps")
        b_words = later(chosen(slot, lambda n: held[n].b_plane_words), "b_words")
        negative_a = chosen(slot, lambda n: planes[n].signed_a) & (
            source.plane_a == chosen(slot, lambda n: planes[n].top_a)
        )
        negative_b = chosen(slot, lambda n: planes[n].signed_b) & (
            source.plane_b == chosen(slot, lambda n: planes[n].top_b)
        )
        negative_a, negative_b = later(negative_a, "negative_a"), later(negative_b, "negative_b")
        order_0 = later(source, "order_0")

        # Second cycle: products of two bits of a plane, and what the pair does.
        halves = []
        for name, plane, words in zip("ab", planes_0, (ksteps, b_words), strict=True):
            width = len(self._pair_word(name))
            for part in (plane[:2], plane[2:]):
                product = Mux(part[0], words, 0) + (Mux(part[1], words, 0) << 1)
                halves.append(later(product[:width], f"product_{name}_{len(halves)}"))
        slot_0 = order_0.tile.slot
        done = Signal(self._pair, name="done", reset_less=True)
        single = (ksteps == 1) | ~order_0.count
        ends = order_0.tile_last & order_0.tile.command_last
        m.d.sync += [
            *(done[name].eq(order_0[name]) for name in _FLAGS),
            done.subtract.eq(order_0.count & (negative_a ^ negative_b)),
            done.b_subtract.eq(order_0.count & negative_b),
            done.taps.eq(Mux(planes_0[0] == 0, chosen(slot_0, lambda n: held[n].taps), 0)),
            done.single.eq(single),
            done.single_tile.eq(single & order_0.tile_last),
            done.two.eq(ksteps == 2),
            done.more.eq(ksteps - 2),
            done.takes_a.eq(order_0.clear & order_0.tile.takes_a),
            done.takes_b.eq(order_0.clear & order_0.tile.takes_b),
            done.block_last.eq(order_0.tile_last & order_0.tile.block_last),
            done.command_last.eq(ends),
            done.releases_a.eq(ends & chosen(slot_0, lambda n: held[n].release_a)),
            done.first.eq(chosen(slot_0, lambda n: held[n].first)),
            done.last.eq(chosen(slot_0, lambda n: held[n].last)),
            done.a_word.eq(order_0.tile.a_word),
            done.fresh.eq(1),
        ]

        # Third cycle: words from a tile's start, and then from the block's.
        low_a, high_a, low_b, high_b = halves
        summed, pair = (Signal(self._pair, name=name, reset_less=True) for name in ("summed", "made"))
        from_tile = Signal.like(pair.a_word, reset_less=True)
        m.d.sync += [
            from_tile.eq(low_a + (high_a << 2)),
            summed.eq(done),
            summed.b_word.eq(low_b + (high_b << 2)),
            pair.eq(summed),
            pair.a_word.eq(summed.a_word + from_tile),
        ]
        return valid, pair

    def _pair_word(self, operand):
        return data.View(self._pair, Signal(self._pair))[f"{operand}_word"]

    def _queue(self, m, leaves, valid, pair, run_next):
        """Pairs in their queue, and from its room whether the order goes on."""
        depth = MACHINE.pair_queue
        m.submodules.memory = memory = Memory(shape=self._pair, depth=depth, init=[])
        write, read = memory.write_port(), memory.read_port(domain="comb")
        level = Signal(range(depth + 1))
        used = Signal(range(depth + 1))
        some = Signal()
        taken = Signal()
        m.d.comb += [
            write.en.eq(valid),
            write.data.eq(pair),
            self.pairs.valid.eq(some),
            self.pairs.payload.eq(read.data),
            taken.eq(some & self.pairs.ready),
            run_next.eq(used < depth - 1),
        ]
        m.d.sync += [
            write.addr.eq(write.addr + valid),
            read.addr.eq(Mux(taken, one_more(read.addr), read.addr)),
            level.eq(counted(level, valid, taken)),
            some.eq(valid | (level > 1) | ((level == 1) & ~taken)),
            # `used` counts those under way too; one may leave in this cycle and one in the next.
            used.eq(counted(used, leaves, taken)),
        ]
