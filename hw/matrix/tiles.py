"""EXEC commands as tiles: which commands are held, and the tiles of the one whose order is being made."""

from amaranth import Cat, Module, Mux, Signal
from amaranth.lib import stream, wiring
from amaranth.lib.wiring import In, Out

from cpt.hw.contract import ArrayConfig
from cpt.hw.contract.machine import MACHINE
from cpt.hw.layouts import PLANES, exec_command, tile_layout
from cpt.hw.matrix.copies import MOST_LOADS, copies, tokens


class Tiles(wiring.Component):
    """Holds two commands in turn, and gives their tiles one by one, without a gap between commands.

    Parameters: ``config``.
    Members: ``commands`` (in); ``finished``: the older command's last step was taken, its place is free;
    ``held``, ``planes``: both commands and their planes, which stand until then; ``valid``, ``tile``: the
    tile whose turn it is; ``take``: it is taken; ``none``: no command is held.
    Latency `latency_cycles` from a command to its first tile; a tile per cycle.
    """

    latency_cycles = 3

    def __init__(self, config: ArrayConfig):
        self.config = config
        self._command, self._tile = exec_command(config), tile_layout(config)
        super().__init__(
            {
                "commands": In(stream.Signature(self._command)),
                "finished": In(1),
                "held": Out(self._command).array(MACHINE.exec_commands),
                "planes": Out(PLANES).array(MACHINE.exec_commands),
                "none": Out(1),
                "valid": Out(1),
                "tile": Out(self._tile, init={"block_last": 1}),
                "take": In(1),
            }
        )

    def elaborate(self, platform):
        m = Module()
        accepted = self._accept(m)
        places = len(self.held)
        one_tile, one_block, two_tiles, two_blocks = (
            Signal(places, name=name) for name in ("one_tile", "one_block", "two_tiles", "two_blocks")
        )
        for n, (command, planes) in enumerate(zip(self.held, self.planes, strict=True)):
            m.d.sync += [
                one_tile[n].eq(command.tiles == 1),
                one_block[n].eq(command.blocks == 1),
                two_tiles[n].eq(command.tiles == 2),
                two_blocks[n].eq(command.blocks == 2),
                planes.top_a.eq(command.a.bits - 1),
                planes.top_b.eq(command.b.bits - 1),
                planes.one_a.eq(command.a.bits == 1),
                planes.one_b.eq(command.b.bits == 1),
            ]
            m.d.comb += [planes.signed_a.eq(command.a.signed), planes.signed_b.eq(command.b.signed)]

        # `block_last`, `ends`: it is the last tile of its block, of its command; both hold without a tile.
        tile = self.tile
        ends = Signal(init=1)
        released = Signal(init=1)
        tiles_left = Signal.like(self.held[0].tiles)
        blocks_left = Signal.like(self.held[0].blocks)
        final = Signal()
        one_tile_more = Signal()
        one_block_more = Signal()
        begin = Signal()
        known = Signal()
        valid_next = Signal()
        other_next = Signal()
        valids = [self.valid, *copies(m, valid_next, 2, "valid", reset_less=False)]
        moves = [self.take | ~valid for valid in valids]
        waiting = tokens(m, "waiting", places, known, begin)
        # Commands alternate between the places, so a new one lies in the other.
        with m.If(moves[1]):
            others = copies(m, other_next, 3, "other", reset_less=False)
        picks = [~(other ^ ends) for other in others]

        def chosen(pick, member):
            """Of the command that the next tile is one of."""
            return Mux(pick, member(1), member(0))

        m.d.comb += [
            valid_next.eq(Mux(moves[0], ~ends | waiting[0], valids[0])),
            begin.eq(moves[0] & ends & waiting[0]),
            other_next.eq(others[0] ^ (ends & waiting[0])),
            tile.slot.eq(~others[0]),
            tile.command_last.eq(ends),
        ]
        m.d.sync += [known.eq(accepted), self.valid.eq(valid_next)]

        tile_words = Mux(others[0], self.held[0].a_tile_words, self.held[1].a_tile_words)
        last_tile = Mux(tile.block_last, chosen(picks[0], lambda n: one_tile[n]), one_tile_more)
        last_block = Mux(
            ends,
            chosen(others[0], lambda n: one_block[n]),
            Mux(tile.block_last, one_block_more, final),
        )
        with m.If(moves[1]):
            m.d.sync += [
                released.eq(
                    Mux(ends & waiting[0], chosen(others[0], lambda n: self.held[n].release_a), released)
                ),
                tile.takes_b.eq(tile.block_last),
                tile.takes_a.eq(ends & released),
                tile.block_last.eq(last_tile | (ends & ~waiting[0])),
                ends.eq((last_tile & last_block) | (ends & ~waiting[0])),
                final.eq(last_block),
                tile.a_word.eq(Mux(tile.block_last, 0, tile.a_word + tile_words)),
            ]
        with m.If(moves[2]):
            tiles = chosen(picks[1], lambda n: self.held[n].tiles)
            m.d.sync += [
                tiles_left.eq(Mux(tile.block_last, tiles, tiles_left - 1)),
                one_tile_more.eq(
                    Mux(tile.block_last, chosen(picks[1], lambda n: two_tiles[n]), tiles_left == 3)
                ),
            ]
        with m.If(moves[0] & tile.block_last):
            blocks = chosen(others[2], lambda n: self.held[n].blocks)
            m.d.sync += [
                blocks_left.eq(Mux(ends, blocks, blocks_left - 1)),
                one_block_more.eq(Mux(ends, chosen(others[2], lambda n: two_blocks[n]), blocks_left == 3)),
            ]
        return m

    def _accept(self, m):
        """Commands into their places; a bit that is high with each."""
        places, payload = len(self.held), self.commands.payload.as_value()
        parts = -(-len(payload) // MOST_LOADS)
        accepted = Signal()
        turn = Signal()
        room = Signal()
        readies = copies(m, room, parts, "ready", reset_less=False)
        free = tokens(m, "free", places, self.finished, accepted, full=True)
        m.d.comb += [
            accepted.eq(self.commands.valid & self.commands.ready),
            # What is accepted comes late.
            room.eq(Mux(accepted, free[1] | self.finished, free[0] | self.finished)),
            self.none.eq(free[-1]),
        ]
        m.d.sync += [turn.eq(turn ^ accepted), self.commands.ready.eq(room)]
        for n, command in enumerate(self.held):
            pieces = []
            for part, ready in enumerate(readies):
                given = payload[part * MOST_LOADS : (part + 1) * MOST_LOADS]
                piece = Signal(len(given), name=f"command_{n}_{part}", reset_less=True)
                with m.If(self.commands.valid & ready & (turn == n)):
                    m.d.sync += piece.eq(given)
                pieces.append(piece)
            m.d.comb += command.eq(Cat(pieces))
        return accepted
