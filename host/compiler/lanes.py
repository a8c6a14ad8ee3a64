"""Passes through the lanes: products drained, words of scratch applied, in parts if need be."""

from __future__ import annotations

import math
from collections.abc import Iterable
from dataclasses import replace
from typing import NamedTuple

from cpt.host.compiler.builder import Region
from cpt.host.compiler.layout import Layout
from cpt.host.compiler.lifetimes import Recorder
from cpt.host.compiler.memory import IN_WORDS
from cpt.host.compiler.moves import Moves, Tensor
from cpt.host.compiler.parts import Part
from cpt.host.compiler.plan import Planes
from cpt.host.compiler.products import Emitter
from cpt.host.compiler.vectors import LOCAL, Vector
from cpt.hw.contract import ContractError
from cpt.hw.contract.floats import FIELD, Coefficient, Statistic
from cpt.hw.contract.passes import Apply, Drain, geometry, noise_place
from cpt.hw.contract.step import Code
from cpt.hw.contract.tiles import Picture

MOST_TURN = 4
"""Images that one engine hands to the next at once, unless told otherwise."""
PLAIN = (Apply.COUNT, Apply.POOL, Apply.UNPOOL)
"""Applies without coefficients."""


class Turn(NamedTuple):
    """Images of an instruction that is over them when its mark has grown by ``units``."""

    first: int
    behind: int
    units: int


class Lanes:
    """Emits DRAIN and APPLY; what has no room in scratch as a whole comes and goes part by part."""

    def __init__(self, layout: Layout, builder: Recorder, moves: Moves, most_turn: int = MOST_TURN) -> None:
        self.layout, self.builder, self.moves = layout, builder, moves
        self.most_turn = most_turn

    def drain(
        self,
        kind: Drain,
        slot: int,
        product: Emitter,
        picture: Picture,
        channels: int,
        channel: int,
        out: Tensor,
        *,
        y: Tensor | None = None,
        stream: Tensor | None = None,
        mask: Tensor | None = None,
    ) -> None:
        """A product through the lanes into scratch, in parts if need be: its windows come by turns, and the
        lanes hand it on by turns."""
        layout = self.layout
        operands = [item for item in (y, stream, mask) if item]
        scratch = self.moves.scratch
        for part in layout.parts(scratch, picture, channels, layout.most_groups(picture, channels)):
            places = self._bring(operands, picture, channels, part)
            product.weights(part)
            for number, turn in enumerate(self._turns(picture, channels, part, short=bool(stream or mask))):
                product.windows(turn)
                if not number:
                    product.execute(part)
                reads = {each: self.moves.used(each, picture, channels, turn) for each in places}
                used = self.moves.used(out, picture, channels, turn)
                self._drain(
                    kind,
                    slot,
                    picture,
                    turn,
                    channel,
                    used,
                    reads.values(),
                    y=reads[y].start if y else 0,
                    stream=reads[stream].start // IN_WORDS if stream else 0,
                    mask=reads[mask].start // IN_WORDS if mask else 0,
                )
                self.moves.keep(out, picture, channels, turn)
            self._take(out, picture, channels, part)

    def again(
        self,
        slot: int,
        product: Emitter,
        picture: Picture,
        channels: int,
        channel: int,
        place: int,
        part: Part,
        y: Tensor | None = None,
    ) -> None:
        """Part of a tensor that a product makes again, whose statistics nobody wants.

        ``y``: of an INNER_ERROR, in scratch already.
        """
        product.whole(part)
        used = self.moves.used(Tensor(place), picture, channels, part)
        if not y:
            self._drain(Drain.FORWARD, slot, picture, part, channel, used, (), keeps=1)
            return
        read = self.moves.used(y, picture, channels, part)
        self._drain(Drain.INNER_ERROR, slot, picture, part, channel, used, [read], y=read.start, keeps=1)

    def _drain(
        self,
        kind: Drain,
        slot: int,
        picture: Picture,
        part: Part,
        channel: int,
        used: Region,
        operands: Iterable[Region],
        keeps: int = 0,
        **fields: int,
    ) -> None:
        """DRAIN of a part; ``channel``: of the whole tensor's first; it ``keeps`` statistics as they are."""
        group = self.layout.group
        at, held = channel + part.group * group, part.groups * group
        counted = () if keeps else Statistic
        self.builder.add(
            Code.DRAIN,
            [*operands, *(_fields("coefficients", field, at, held) for field in Coefficient)],
            [used, *(_fields("statistics", field, at, held) for field in counted)],
            kind=int(kind),
            slot=slot,
            **geometry(picture),
            tiles=picture.tiles,
            a_tiles=part.groups,
            images=part.images,
            channel=at,
            out=used.start,
            clear=int(part.first and not keeps),
            keeps=keeps,
            **fields,
        )

    def _turns(self, picture: Picture, channels: int, part: Part, *, short: bool) -> list[Part]:
        """A part of a product by turns, in which one engine hands it to the next.

        Results that have room in scratch as a whole come some images at a time, so that what follows works
        on the first ones while the others come. ``short``: all begin at short addresses.
        """
        if self.layout.spilled(self.moves.scratch, picture, channels):
            return [part]
        image = picture.tiles * part.groups * self.layout.group
        step = IN_WORDS // math.gcd(IN_WORDS, image) if short else 1
        ends = self._ends(part.images, step)
        return [
            replace(part, image=first, images=end - first)
            for first, end in zip([0, *ends], ends, strict=False)
        ]

    def _ends(self, images: int, step: int = 1) -> list[int]:
        """Where turns of so many images end, multiples of ``step`` but for the last one: the first is short,
        as the array waits for it."""
        ends, most = [step], -(-self.most_turn // step) * step
        while ends[-1] < images:
            ends.append(ends[-1] + min(ends[-1], most))
        return [*ends[:-1], images]

    def _pieces(self, picture: Picture, part: Part) -> list[Turn]:
        """Images of an APPLY over part of a tensor as they are done, a tile a unit."""
        ends = self._ends(part.images)
        return [Turn(first, end, end * picture.tiles) for first, end in zip([0, *ends], ends, strict=False)]

    def _bring(
        self, tensors: list[Tensor], picture: Picture, channels: int, part: Part
    ) -> dict[Tensor, Region]:
        """Part of tensors to their places, where they have no room as a whole; the words that it takes."""
        needed = [need for tensor in tensors for need in tensor.needs]
        for tensor in dict.fromkeys([*needed, *tensors]):
            if not self._there(tensor, picture, channels, part):
                self.moves.bring(tensor, picture, channels, part)
                self.moves.keep(tensor, picture, channels, part)
        return {tensor: self.moves.used(tensor, picture, channels, part) for tensor in tensors}

    def _there(self, tensor: Tensor, picture: Picture, channels: int, part: Part) -> bool:
        """Whether part of a tensor is in scratch: all of it is, or nothing has taken its place since."""
        return self.moves.whole(tensor, picture, channels) or self.moves.kept(tensor, picture, channels, part)

    def _take(self, tensor: Tensor, picture: Picture, channels: int, part: Part) -> None:
        """A result's part to memory, where it has no room as a whole."""
        if not self.moves.whole(tensor, picture, channels):
            self.moves.take(tensor, picture, channels, part)

    def apply(
        self,
        kind: Apply,
        picture: Picture,
        channels: int,
        channel: int,
        y: Tensor,
        *,
        second: Tensor | None = None,
        out: Tensor | None = None,
        codes: Planes | None = None,
        local: Vector | None = None,
        layer: int = 0,
        counts: bool = False,
        images: bool = False,
        only: range | None = None,
    ) -> None:
        """Words of scratch through the lanes: to codes, to scratch, or counted; in parts if need be.

        ``local``: numbers of each image, by channel; parts have all channels then. ``images``: y are bytes
        of images. ``only``: of these images alone.
        """
        layout = self.layout
        group = layout.group
        if images:
            parts = self.moves.bands(picture, channels)
        else:
            parts = [(part, picture) for part in layout.parts(self.moves.scratch, picture, channels)]
            if only:
                parts = [(part.of(only), picture) for part, _ in parts if part.meets(only)]
            if not counts:  # in any order: first what is in scratch
                operands = [item for item in (y, second) if item]
                parts.sort(
                    key=lambda item: (
                        not all(self._there(operand, picture, channels, item[0]) for operand in operands)
                    )
                )
        if local and any(part.groups != layout.groups(channels) for part, _ in parts):
            raise ContractError(
                f"pooling {channels} channels of {picture.height} x {picture.width} takes several parts "
                f"of an image; allowed: one, in half of a place of scratch"
            )
        for part, shown in parts:
            if images:
                if len(parts) > 1:
                    self.moves.bytes_in(shown, picture.tiles, channels, part)
                places = {y: self.moves.of_bytes(shown, part)}
            else:
                places = self._bring([item for item in (y, second) if item], picture, channels, part)
            at, held = channel + part.group * group, part.groups * group
            if kind is Apply.CODE:  # the coefficients of one channel serve all
                at, held = channel, 1
            turns = self._pieces(shown, part)
            reads = [piece for place in places.values() for piece in _by_turns(place, turns)]
            if kind not in PLAIN:
                reads += [_fields("coefficients", field, at, held) for field in Coefficient]
            writes: list[Region] = []
            fields: dict[str, int] = {}
            if counts:
                writes += [_fields("statistics", field, at, held) for field in Statistic]
            if out:
                used = self.moves.used(out, picture, channels, part)
                writes += _by_turns(used, turns)
                fields["out"] = used.start // IN_WORDS
            if local:
                before = part.image - (only.start if only else 0)
                some = local.at(before * channels, part.images * channels)
                region = Region(LOCAL, some.address, some.address + some.count)
                (reads if kind is Apply.UNPOOL else writes).append(region)
                if out:
                    fields["offset"] = used.start
                fields["out"] = some.address
            if codes:
                before = part.image * codes.layout.image_stride + part.group * codes.layout.group_stride
                before += part.tile * codes.layout.tile_stride
                writes += _by_turns(codes.images(part.image, part.images).region, turns)
                fields |= {
                    "base": codes.piece.base,
                    "offset": codes.piece.offset + before,
                    "planes": codes.layout.max_bits,
                    "slot": codes.slot,
                }
            if kind is Apply.ERROR:
                fields["out"] = noise_place(part.image, part.group)
            self.builder.add(
                Code.APPLY,
                reads,
                writes,
                kind=int(kind),
                **geometry(shown),
                clear=int(part.first),
                tiles=shown.tiles,
                groups=part.groups,
                images=part.images,
                y=places[y].start,
                second=places[second].start // IN_WORDS if second else 0,
                channel=at,
                channels=channels,
                layer=layer,
                **fields,
            )
            if out:
                self._take(out, picture, channels, part)


def _by_turns(region: Region, turns: list[Turn]) -> list[Region]:
    """Pieces of what an instruction reads or writes of its images, as it is done with them."""
    each = (region.stop - region.start) // turns[-1].behind
    return [
        Region(region.memory, region.start + turn.first * each, region.start + turn.behind * each, turn.units)
        for turn in turns
    ]


def _fields(memory: str, field: int, channel: int, count: int) -> Region:
    start = field * FIELD + channel
    return Region(memory, start, start + count)
