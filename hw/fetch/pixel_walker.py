"""Walks images, tiles, groups, planes and strips of a tensor of codes as runs of memory."""

from amaranth import Cat, Const, Module, Signal
from amaranth.lib import data, stream, wiring
from amaranth.lib.wiring import In, Out
from amaranth.utils import bits_for

from cpt.hw.contract import ArrayConfig
from cpt.hw.contract.config import BEAT_BYTES, GROUPS_BITS, MAX_BITS
from cpt.hw.contract.step import FORMATS, Code
from cpt.hw.contract.tiles import STREAM_BYTES
from cpt.hw.fetch.command import STRIPS_WIDTH, TILES_WIDTH
from cpt.hw.layouts import RUN
from cpt.hw.matrix.copies import KEEP, MOST_LOADS, copies

_WIDTHS = {item.name: item.width for item in FORMATS[Code.LOAD_E]}
_COUNTS = {
    "strips": STRIPS_WIDTH,
    "planes": bits_for(MAX_BITS),
    "groups": GROUPS_BITS,
    "tiles": TILES_WIDTH,
    "images": _WIDTHS["images"],
}
"""Of loops, the innermost first."""
_SHARED = 8
"""Bits of an address that share the signals it loads by."""
_PARTS = 32 // _SHARED

PIXEL_WALK = data.StructLayout(
    {
        "base": 32,
        "bits": bits_for(MAX_BITS),
        **_COUNTS,
        **{f"{name.removesuffix('s')}_stride": 32 for name in _COUNTS if name != "planes"},
    }
)
"""A walk from byte ``base`` on: ``images`` of ``tiles`` of ``groups`` of ``planes`` of ``strips``, at least 1
each, in runs of ``bits`` planes; bytes from one to the next are ``strip_stride`` .. ``image_stride``, and
between planes those of one.
"""


def _loaded(m, vacant, payload, name: str):
    """``payload`` held from the cycle that it is taken in; `MOST_LOADS` bits share a copy of ``vacant``."""
    given = payload.as_value()
    held = Signal.like(given, name=name, reset_less=True)
    for number, flag in enumerate(vacant):
        part = slice(MOST_LOADS * number, MOST_LOADS * (number + 1))
        with m.If(flag):
            m.d.sync += held[part].eq(given[part])
    return data.View(payload.shape(), held)


class PixelWalker(wiring.Component):
    """Emits the runs of a walk, one for every (image, tile, group): the planes of its precision, which touch.

    Where a row along K is several tiles, one for every (image, row, group, plane, strip). Runs are whole
    words of both ports (`STREAM_BYTES`), so a run may end with planes that nobody wants.

    Parameters: ``config``.
    Members: ``walks`` (in): `PIXEL_WALK`, one at a time; ``runs`` (out); ``idle``: no walk is held.
    The first run comes two cycles after its walk was taken, a run every second cycle.
    """

    def __init__(self, config: ArrayConfig):
        self.config = config
        super().__init__(
            {
                "walks": In(stream.Signature(PIXEL_WALK)),
                "runs": Out(stream.Signature(RUN)),
                "idle": Out(1, init=1),
            }
        )

    def elaborate(self, platform):
        m = Module()
        # A walk is taken in as long as there is none, so nothing that comes late loads its registers.
        loads = -(-PIXEL_WALK.size // MOST_LOADS)
        vacant = [Signal(name=f"vacant_{n}", init=1, attrs=KEEP) for n in range(loads + 1)]
        accepted = Signal()
        advance = Signal()
        ended = Signal()
        walk = _loaded(m, vacant[1:], self.walks.payload, "walk")
        m.d.sync += [flag.eq(ended | (vacant[0] & ~self.walks.valid)) for flag in vacant]
        m.d.comb += [
            self.walks.ready.eq(vacant[0]),
            self.idle.eq(vacant[0]),
            accepted.eq(self.walks.valid & vacant[0]),
            advance.eq(self.runs.valid & self.runs.ready),
        ]

        # What happens is known a cycle before it does, so that its signals have copies: for the counts, and
        # `_PARTS` for each address; none is shared, as gates of one would come behind those of another.
        names = list(_COUNTS)
        last = {name: Signal(name=f"last_{name}", reset_less=True) for name in names}
        all_last = {name: Signal(name=f"all_last_{name}", reset_less=True) for name in ("planes", "groups")}
        """``all_last``: so are all loops inside."""
        begins = iter(copies(m, accepted, (_PARTS + 1) * len(names) + 3, "begin", reset_less=False))
        steps = {}
        all_inner = advance
        for number, name in enumerate(names):
            ends = all_inner & ~last[name]
            count = (_PARTS + 1) * (number + 1) + 3
            steps[name] = iter(copies(m, ends, count, f"step_{name}", reset_less=False))
            all_inner = advance & all_last[name] if name in all_last else all_inner & last[name]
        m.d.comb += ended.eq(all_inner)

        def restarts(number: int):
            """A walk begins, or a loop outside of one steps."""
            return Cat(next(begins), *(next(steps[name]) for name in names[number + 1 :])).any()

        lefts = {name: Signal(_COUNTS[name], name=f"{name}_left", reset_less=True) for name in names}
        single = {name: Signal(name=f"single_{name}", reset_less=True) for name in names}
        """There is one, known with the walk."""
        with m.If(vacant[0]):
            m.d.sync += [flag.eq(self.walks.payload[name] == 1) for name, flag in single.items()]
        for number, (name, left) in enumerate(lefts.items()):
            with m.If(restarts(number)):
                m.d.sync += [left.eq(walk[name]), last[name].eq(single[name])]
            with m.Elif(next(steps[name])):
                m.d.sync += [left.eq(left - 1), last[name].eq(left == 2)]
        for outermost, flag in all_last.items():
            number = names.index(outermost)
            # One at a time, so gates, not a choice of the first.
            moves = [restarts(number)]
            known = [moves[0] & Cat(single[name] for name in names[: number + 1]).all()]
            for place in range(number + 1):
                inside = [single[name] for name in names[:place]]
                outside = [last[name] for name in names[place + 1 : number + 1]]
                moves.append(next(steps[names[place]]))
                known.append(moves[-1] & Cat(lefts[names[place]] == 2, *inside, *outside).all())
            with m.If(Cat(moves).any()):
                m.d.sync += flag.eq(Cat(known).any())
        moved = Cat(next(begins), *(next(steps[name]) for name in names)).any()
        m.d.sync += self.runs.valid.eq(moved | (self.runs.valid & ~self.runs.ready))

        # Where the strip, plane, group, tile and image at hand begin; sums stand ready before they are asked
        # for. An address follows its own step and those outside of it.
        plane_bytes = self.config.cols * self.config.group_channels // 8
        at, following = (
            {name: Signal(32, name=f"{kind}_{name}", reset_less=True) for name in names}
            for kind in ("at", "next")
        )
        for number, name in enumerate(names):
            stride = plane_bytes if name == "planes" else walk[f"{name.removesuffix('s')}_stride"]
            m.d.sync += following[name].eq(at[name] + stride)
            for n in range(_PARTS):
                part = slice(_SHARED * n, _SHARED * (n + 1))
                with m.If(next(begins)):
                    m.d.sync += at[name][part].eq(walk.base[part])
                for outside in reversed(names[number:]):
                    with m.Elif(next(steps[outside])):
                        m.d.sync += at[name][part].eq(following[outside][part])

        size = (walk.bits * plane_bytes + (STREAM_BYTES - 1))[(STREAM_BYTES - 1).bit_length() :]
        m.d.comb += self.runs.payload.addr.eq(at["strips"])
        m.d.sync += self.runs.payload.beats.eq(Cat(Const(0, STREAM_BYTES // BEAT_BYTES - 1), size))
        return m
