"""Tensors, images, parameters and weights between memory and the chip."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

from cpt.host.compiler.builder import Region
from cpt.host.compiler.layout import Layout
from cpt.host.compiler.lifetimes import Recorder
from cpt.host.compiler.memory import IMAGES, Piece, whole_pairs
from cpt.host.compiler.parts import SCRATCH, Part, Scratch
from cpt.host.compiler.vectors import LOCAL, Vector, Vectors
from cpt.hw.contract.passes import Bring, Store
from cpt.hw.contract.step import Code
from cpt.hw.contract.tiles import Picture

RUN_WORDS = 1 << 15
"""Most words of one run."""
LOCAL_KIND = {Code.BRING: Bring.LOCAL, Code.STORE: Store.LOCAL}
SCRATCH_KIND = {Code.BRING: Bring.SCRATCH, Code.STORE: Store.SCRATCH}


@dataclass(frozen=True)
class Tensor:
    """16-bit numbers in a place of scratch; ``home``: where in memory they lie that have no room there.

    Without a ``home`` that is the memory behind the place.
    """

    place: int
    home: Piece | None = None
    make: Callable[[Part], None] | None = None
    """Emits what makes a part of it again, in scratch; it is never in memory then."""
    needs: tuple[Tensor, ...] = ()
    """What must be in scratch when a part is made."""


class Moves:
    """Emits BRING and STORE.

    A tensor that has room in its place is there from the instruction that makes it on, `fill` and `spill`
    move it. One that has not is always in memory: every pass brings part after part and takes its results
    away, and `fill` and `spill` have nothing to do.
    """

    def __init__(self, layout: Layout, builder: Recorder, vectors: Vectors, scratch: Scratch) -> None:
        self.layout, self.builder, self.v, self.scratch = layout, builder, vectors, scratch
        self.claims: Callable[[Region], None] = lambda region: None
        """Told of words that an instruction is about to read or write."""
        self._kept: dict[Region, tuple[Tensor, Part, int]] = {}
        """By words of scratch: whose part was left there, and after how many instructions."""

    def load(self, piece: Piece, to: Vector | None = None) -> Vector:
        """32-bit words from memory to local memory; where they are odd one more moves."""
        to = to or self.v.new(piece.size // 4)
        self._local(Code.BRING, piece, to)
        return to

    def store(self, vector: Vector, piece: Piece) -> None:
        """32-bit words from local memory to memory; where they are odd one more moves."""
        self._local(Code.STORE, piece, vector)

    def load_runs(self, piece: Piece, to: Vector, *, words: int, runs: int, stride: int) -> None:
        """``runs`` runs of ``words`` words, ``stride`` words apart, side by side to local memory."""
        self._runs(Code.BRING, piece, to, words, runs, stride)

    def store_runs(self, vector: Vector, piece: Piece, *, words: int, runs: int, stride: int) -> None:
        """The other way round."""
        self._runs(Code.STORE, piece, vector, words, runs, stride)

    def load_columns(self, piece: Piece, columns: range, rows: int, to: Vector | None = None) -> Vector:
        """Columns of a matrix of so many ``rows`` to local memory, row by row."""
        to = to or self.v.new(rows * len(columns))
        self._columns(Code.BRING, piece, to, columns, rows)
        return to

    def store_columns(self, vector: Vector, piece: Piece, columns: range, rows: int) -> None:
        """The other way round."""
        self._columns(Code.STORE, piece, vector, columns, rows)

    def _columns(self, code: Code, piece: Piece, vector: Vector, columns: range, rows: int) -> None:
        length = piece.size // 4 // rows
        if len(columns) == length:
            self._local(code, piece, vector)
        else:
            some = piece.words(columns.start, rows * length - columns.start)
            self._runs(code, some, vector, len(columns), rows, length)

    def _runs(self, code: Code, piece: Piece, vector: Vector, words: int, runs: int, stride: int) -> None:
        part = piece.words(0, stride * (runs - 1) + words)
        local = Region(LOCAL, vector.address, vector.address + words * runs)
        into = code is Code.BRING
        self.builder.add(
            code,
            [part.region if into else local],
            [local if into else part.region],
            kind=int(LOCAL_KIND[code]),
            base=piece.base,
            offset=piece.offset,
            words=words,
            runs=runs,
            stride=4 * stride,
            place=vector.address,
            place_stride=words,
        )

    def _local(self, code: Code, piece: Piece, vector: Vector) -> None:
        words = whole_pairs(piece.size // 4)
        local = Region(LOCAL, vector.address, vector.address + words)
        memory = Piece(piece.base, piece.offset, 4 * words).region
        into = code is Code.BRING
        self.builder.add(
            code,
            [memory if into else local],
            [local if into else memory],
            kind=int(LOCAL_KIND[code]),
            base=piece.base,
            offset=piece.offset,
            words=words,
            runs=1,
            place=vector.address,
        )

    def words(self, code: Code, region: Region, piece: Piece) -> None:
        """Words of scratch between their place and memory."""
        into, count = code is Code.BRING, region.stop - region.start
        memory = Piece(piece.base, piece.offset, 2 * self.layout.config.cols * count).region
        self.builder.add(
            code,
            [memory if into else region],
            [region if into else memory],
            kind=int(SCRATCH_KIND[code]),
            base=piece.base,
            offset=piece.offset,
            words=count,
            runs=1,
            place=region.start,
        )

    def spill(self, tensor: Tensor, picture: Picture, channels: int, behind: Piece | None = None) -> None:
        """A tensor from scratch to its home, once what is ``behind`` is in memory."""
        if self.whole(tensor, picture, channels) and not tensor.make:
            self.part(Code.STORE, tensor, picture, channels, self.all_of(channels), behind)

    def fill(self, tensor: Tensor, picture: Picture, channels: int) -> None:
        """A tensor from its home to scratch, or made again."""
        if self.whole(tensor, picture, channels):
            self.bring(tensor, picture, channels, self.all_of(channels))

    def bring(self, tensor: Tensor, picture: Picture, channels: int, part: Part) -> None:
        """Part of a tensor to scratch."""
        if tensor.make:
            tensor.make(part)
        else:
            self.part(Code.BRING, tensor, picture, channels, part)

    def keep(self, tensor: Tensor, picture: Picture, channels: int, part: Part) -> None:
        """A part is in its place, until something else is written there."""
        self._kept[self._words(tensor, picture, channels, part)] = tensor, part, self.builder.count

    def kept(self, tensor: Tensor, picture: Picture, channels: int, part: Part) -> bool:
        """Whether a part still is where it was left; one whose home is behind a place may be another's."""
        if tensor.home is None and tensor.make is None:
            return False
        region = self._words(tensor, picture, channels, part)
        *what, since = self._kept.get(region, (None, None, 0))
        return what == [tensor, part] and not self.builder.wrote(region, since)

    def take(self, tensor: Tensor, picture: Picture, channels: int, part: Part) -> None:
        """Part of a tensor to memory, unless it is made again."""
        if not tensor.make:
            self.part(Code.STORE, tensor, picture, channels, part)

    def part(
        self,
        code: Code,
        tensor: Tensor,
        picture: Picture,
        channels: int,
        part: Part,
        behind: Piece | None = None,
    ) -> None:
        """Part of a tensor between scratch and memory; all channels of some images touch there."""
        layout = self.layout
        group, groups = layout.group, layout.groups(channels)
        home = tensor.home or layout.behind[tensor.place]
        width, tiles = 2 * layout.config.cols, part.images * picture.tiles
        words, runs, stride, gap = part.groups * group, tiles, groups * group, part.groups * group
        if part.groups == groups:
            whole = words * runs
            words, runs = min(whole, RUN_WORDS), -(-whole // RUN_WORDS)
            stride = gap = RUN_WORDS
        first = part.image * picture.tiles * groups * group + part.group * group
        length = (tiles - 1) * groups * group + part.groups * group
        memory = Piece(home.base, home.offset + first * width, length * width)
        used = self.used(tensor, picture, channels, part)
        into = code is Code.BRING
        self.builder.add(
            code,
            [memory.region if into else used, *([behind.region] if behind else [])],
            [used if into else memory.region],
            kind=int(SCRATCH_KIND[code]),
            base=memory.base,
            offset=memory.offset,
            words=words,
            runs=runs,
            stride=stride * width,
            place=used.start,
            place_stride=gap if runs > 1 else 0,
        )

    def whole(self, tensor: Tensor, picture: Picture, channels: int) -> bool:
        """Whether a tensor has room in its place."""
        return self.layout.division(self.scratch, picture, channels).whole[tensor.place]

    def all_of(self, channels: int) -> Part:
        """A tensor as its only part."""
        return Part(0, self.layout.images, 0, self.layout.groups(channels), 0)

    def used(self, tensor: Tensor, picture: Picture, channels: int, part: Part) -> Region:
        """Words of scratch that part of a tensor takes, for an instruction: `claims` knows of it before."""
        region = self._words(tensor, picture, channels, part)
        self.claims(region)
        return region

    def _words(self, tensor: Tensor, picture: Picture, channels: int, part: Part) -> Region:
        division = self.layout.division(self.scratch, picture, channels)
        image = picture.tiles * part.groups * self.layout.group
        inside = part.image * image if division.whole[tensor.place] else part.word
        start = division.starts[tensor.place] + inside
        return Region(SCRATCH, start, start + part.images * image)

    def bytes_in(self, picture: Picture, all_tiles: int, channels: int, part: Part) -> None:
        """Bytes of images, ``all_tiles`` tiles each, to scratch.

        Words of channels that do not exist stay as they are.
        """
        layout = self.layout
        stride = channels * layout.config.cols
        used = self.of_bytes(picture, part)
        self.builder.add(
            Code.BRING,
            [layout.images_piece.region],
            [used],
            kind=int(Bring.BYTES),
            base=IMAGES,
            offset=(part.image * all_tiles + part.tile) * stride,
            words=channels,
            runs=part.images * picture.tiles,
            stride=stride,
            place=used.start,
            place_stride=part.groups * layout.group,
        )

    def of_bytes(self, picture: Picture, part: Part) -> Region:
        """Words of scratch, from its first on, that images take as bytes; ``picture``: rows of the part."""
        start = part.word
        words = part.images * picture.tiles * part.groups * self.layout.group
        return Region(SCRATCH, start, start + words)

    def images(self, picture: Picture, channels: int) -> None:
        """Bytes of images to scratch, where they have room at once."""
        parts = self.bands(picture, channels)
        if len(parts) == 1:
            self.bytes_in(picture, picture.tiles, channels, parts[0][0])

    def bands(self, picture: Picture, channels: int) -> list[tuple[Part, Picture]]:
        layout = self.layout
        return list(self.scratch.bands(picture, layout.images, layout.groups(channels)))

    def pack(
        self,
        codes: Vector,
        planes: Piece,
        tile: int,
        slot: int,
        *,
        rows: int,
        channels: int,
        kstep: int,
        ksteps: int,
        all_ksteps: int,
        row_stride: int,
        tap_stride: int,
        channel_stride: int,
    ) -> None:
        """Codes in local memory as ``ksteps`` K steps, from ``kstep`` on, of one tile of operand A."""
        size = self.layout.tile_bytes(all_ksteps)
        before = kstep * self.layout.config.group_bytes("a")
        part = Piece(planes.base, planes.offset + tile * size + before, size - before)
        self.builder.add(
            Code.STORE,
            [Region(LOCAL, codes.address, codes.address + codes.count)],
            [part.region],
            kind=int(Store.PACK),
            base=part.base,
            offset=part.offset,
            slot=slot,
            words=channels,
            runs=rows,
            ksteps=ksteps,
            all_ksteps=all_ksteps if all_ksteps != ksteps else 0,
            place=codes.address,
            row_stride=row_stride,
            place_stride=tap_stride,
            stride=channel_stride,
        )
