"""Tokens between loaders, EXEC and DRAIN: halves of the operand buffers, places for result tiles.

Each block is proven for any partner that keeps what the partner is proven to keep.
"""

from __future__ import annotations

from amaranth import Cat, Mux, Signal
from amaranth.lib import data

from cpt.hw.contract import ArrayConfig
from cpt.hw.contract.config import BEAT_BYTES
from cpt.hw.contract.machine import MACHINE
from cpt.hw.drain.tile_walker import TileWalker
from cpt.hw.layouts import RUN, drain_command, load_command, pair_layout, result_rows
from cpt.hw.load.loader import Loader
from cpt.hw.load.walker import Walker
from cpt.hw.matrix.copies import MOST_LOADS
from cpt.hw.matrix.steps import Steps
from cpt.sim.formal.bursts import INDEX_BITS
from cpt.sim.formal.properties import Properties

_TOKEN_BITS = 3


class WalkerProperties(Properties):
    """A block begins only in a half that nobody holds."""

    def __init__(self, config: ArrayConfig) -> None:
        self._config = config
        super().__init__(Walker(config, "a"))

    def describe(self) -> None:
        """EXEC gives back only what it was given."""
        walker, run = self.block, self.block.runs
        take, wants = self.peek("take"), self.peek("wants")
        held = self.counter("held_halves", _TOKEN_BITS, take, walker.release)
        self.assume(~walker.release | (held != 0))
        self.demand("no more blocks than halves", held <= MACHINE.halves)
        self.demand("a block has a free half", ~take | (held < MACHINE.halves))
        self.demand("a block that begins is told", ~self._started | (walker.blocks.valid == self.past(take)))
        self.demand("stop lets no block begin", ~(self._started & self.past(walker.stop) & take))
        self.demand("a run is kept", self.kept(run.valid, run.ready, run.payload))
        self.demand("idle has no runs", ~(walker.idle & run.valid))
        if self.outside_only:
            return
        # What the induction needs to know of the inside: it is in one of its states, and all copies say so.
        above = self.peek("halves.above", MACHINE.halves)
        self.inside("halves", above == ((1 << held) - 1)[: MACHINE.halves])
        copied = {"vacant": 8, "plane_step": 3, "tile_step": 5, "block_step": 8, "fresh": 2}
        for name, count in copied.items():
            for n in range(1, count):
                self.inside(f"{name} {n}", self.peek(f"{name}_{n}") == self.peek(f"{name}_0"))
        vacant, *steps = (
            self.peek(f"{name}_0") for name in ("vacant", "plane_step", "tile_step", "block_step")
        )
        self.inside("one state", sum([vacant, wants, *steps, run.valid]) == 1)
        layout = load_command(self._config, "a")
        command = data.View(layout, self.peek("command", layout.size))
        beats = command.ksteps * (self._config.group_bytes("a") // BEAT_BYTES)
        self.inside("beats", vacant | wants | (run.payload.beats == beats[: len(run.payload.beats)]))


class LoaderProperties(Properties):
    """A ready token for every block that was begun, none without, and no word outside the block's half."""

    def __init__(self, config: ArrayConfig) -> None:
        self._config = config
        super().__init__(Loader(config, "a"))

    def describe(self) -> None:
        """Commands whose words are counted right, as dispatch does; memory and EXEC keep their rules."""
        loader = self.block
        command = loader.commands.payload
        words = command.bits * command.tiles * command.ksteps
        small = (command.bits < 4) & (command.tiles < 4) & (command.ksteps < 4) & (command.blocks != 0)
        self.assume(~loader.commands.valid | (small & (words != 0) & (command.block_words == words)))
        self.assume(~loader.commands.valid | (command.block_words <= self._config.half_words("a")))
        beat, index = loader.r.valid, Signal(INDEX_BITS)
        last = loader.r.payload.last
        asked = loader.ar.valid & loader.ar.ready
        lengths, bursts = self.list_of(
            "length", MACHINE.outstanding_bursts, INDEX_BITS, asked, loader.ar.payload.len, beat & last
        )
        self.assume(~beat | ((bursts != 0) & (last == (index == lengths[0]))))
        with self._module.If(beat):
            self._module.d.sync += index.eq(Mux(last, 0, index + 1))
        begun = self.peek("walker.take")
        held = self.counter("held_halves", _TOKEN_BITS, begun, loader.release)
        loaded = self.counter("loaded_blocks", _TOKEN_BITS, loader.loaded, loader.release)
        self.assume(~loader.release | (loaded != 0))
        self.demand("no more blocks than halves", held <= MACHINE.halves)
        self.demand("no token without a block", ~loader.loaded | (loaded < held))
        self.demand("no word without a block", ~loader.write.en | (loaded < held))
        self.reach("a block is loaded", loaded != 0)
        self.reach("both halves are held", held == MACHINE.halves)


class StepsProperties(Properties):
    """No step without operands, no release without a loaded block, no more result tiles than places."""

    def __init__(self, config: ArrayConfig) -> None:
        self._pair = pair_layout(config)
        super().__init__(Steps(config))

    def describe(self) -> None:
        """A loader loads only into halves that are not held; DRAIN gives back only tiles that were taken.

        Of the pairs, those take blocks that come first or behind one that releases, and only those.
        """
        steps = self.block
        pair, taken = steps.pairs.payload, steps.pairs.valid & steps.pairs.ready
        places = [
            (self.peek(valid), data.View(self._pair, self.peek(pair, self._pair.size)))
            for valid, pair in (("head_0", "pair"), ("valid", "work"))
        ]
        at_once = pair.single & pair.tile_last
        self.assume(~steps.pairs.valid | (pair.single_tile == at_once))
        (head, following), (valid, work) = places
        more, ends = self.peek("more_0"), self.peek("ends_0")
        at_once = following.single & following.tile_last
        self.inside("a tile at once", ~head | (following.single_tile == at_once))
        self.inside("copies of head", head == self.peek("head_1"))
        self.inside("more steps of a pair", ~more | valid)
        self.inside("the end of a tile", ends == (valid & ~more & work.tile_last))
        self.inside("a pair is over", self.peek("over") == ~(more | ends))
        for copied, count in (("more", 3), ("ends", 3), ("early", 2)):
            flags = [self.peek(f"{copied}_{n}") for n in range(count)]
            self.inside(f"copies of {copied}", (Cat(flags) == 0) | Cat(flags).all())
        for operand, releases in (("a", "releases_a"), ("b", "block_last")):
            loaded, release = getattr(steps, f"{operand}_loaded"), getattr(steps, f"{operand}_release")
            blocks = self.counter(f"{operand}_blocks", _TOKEN_BITS, loaded, release)
            self.assume(~loaded | (blocks < MACHINE.halves))
            between = Signal(name=f"between_{operand}", init=1)
            self.assume(~steps.pairs.valid | (pair[f"takes_{operand}"] == between))
            self.assume(~pair[releases] | pair.tile_last)
            with self._module.If(taken):
                self._module.d.sync += between.eq(pair[releases])
            self.demand(f"no more {operand} blocks than halves", blocks <= MACHINE.halves)
            self.demand(f"no release of {operand} without a block", ~release | (blocks != 0))
            self.demand(f"no step without {operand}", ~steps.busy | (blocks != 0))
            # Blocks that no pair has begun on are a row of bits.
            row = self.peek(f"{operand}_ready", MACHINE.halves)
            ending = [valid & place[releases] for valid, place in places]
            at_work = row[0] + row[1] + ~between + ending[0] + ending[1] + release
            self.inside(f"{operand} in a row", row[0] | ~row[1])
            self.inside(f"{operand} ready", at_work == blocks)
            for number, (valid, place) in enumerate(places):
                held = ~between | (ending[0] if number else 0) | ending[number]
                self.inside(f"{operand} at work {number}", ~valid | held)
                self.inside(f"{operand} ends {number}", ~ending[number] | place.tile_last)
            self.inside(f"{operand} was at work", ~steps.busy | release | ~between | ending[0] | ending[1])
            self.reach(f"both blocks of {operand}", blocks == MACHINE.halves)
        free = self.peek("free_tiles", MACHINE.result_tiles)
        self.assume(~steps.tile_free | ~free[-1])
        self.demand("places in a row", free[0] | ~free[1])
        stopped = Signal(name="stopped")
        self._module.d.sync += stopped.eq(steps.stop)
        self.demand("stop takes no pair", ~(stopped & taken))
        self.demand("a wait is one of two", ~(steps.wait_fetch & steps.wait_drain))
        self.reach("no place is free", free == 0)


class TileWalkerProperties(Properties):
    """DRAIN sends only tiles that were collected, each once."""

    def __init__(self, config: ArrayConfig) -> None:
        self._config = config
        super().__init__(TileWalker(config))

    def describe(self) -> None:
        """No more tiles are collected than there are places for."""
        walker = self.block
        sent = walker.runs.valid & walker.runs.ready
        waiting = self.counter("waiting_tiles", _TOKEN_BITS, walker.complete, sent)
        self.assume(~walker.complete | (waiting < MACHINE.result_tiles))
        self.demand("no more tiles than places", waiting <= MACHINE.result_tiles)
        self.demand("no run without a tile", ~walker.runs.valid | (waiting != 0))
        self.demand("a tile for every run", ~self._started | (walker.tiles.valid == self.past(sent)))
        self.demand("a run is kept", self.kept(walker.runs.valid, walker.runs.ready, walker.runs.payload))
        self.reach("both places are taken", waiting == MACHINE.result_tiles)
        if self.outside_only:
            return
        # What the induction needs to know of the inside: it is in one of its states, and all copies say so.
        self.inside("ready", walker.commands.ready == ~self.peek("full_0"))
        layout = drain_command()
        for name, count in {"begin": 5, "step": 5, "full": 1 - (-layout.size // MOST_LOADS)}.items():
            for n in range(1, count):
                self.inside(f"{name} {n}", self.peek(f"{name}_{n}") == self.peek(f"{name}_0"))
        occupied, begin, step = (self.peek(f"{name}_0") for name in ("full", "begin", "step"))
        waits = self.peek("waits")
        self.inside("one state", sum([~occupied, begin, step, waits, walker.runs.valid]) == 1)
        without = self.peek("waiting", MACHINE.result_tiles)
        self.inside("tiles in a row", without[0] | ~without[1])
        self.inside("waiting", without[0] + without[1] + walker.runs.valid == waiting)
        command = data.View(layout, self.peek("command", layout.size))
        row_beats = command.bytes * (self._config.cols // BEAT_BYTES)
        plain, with_sums = (self.peek(name, RUN.members["beats"]) for name in ("plain", "with_sums"))
        self.inside("beats without sums", ~occupied | begin | (plain == row_beats * self._config.rows))
        self.inside("beats", ~occupied | begin | (with_sums == row_beats * result_rows(self._config)))
        beats = Mux(self.peek("first_tile") & command.col_sums, with_sums, plain)
        self.inside("beats of a run", ~walker.runs.valid | (walker.runs.payload.beats == beats))
