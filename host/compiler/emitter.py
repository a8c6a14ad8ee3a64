"""Passes over tensors as instructions: moves, products, drains and applies of one micro-batch."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

from cpt.host.compiler.builder import Region
from cpt.host.compiler.lifetimes import Recorder
from cpt.host.compiler.memory import IMAGES, IN_WORDS, Piece, whole_pairs
from cpt.host.compiler.parts import Part
from cpt.host.compiler.plan import ERROR_SLOT, Codes, ConvPlan, Layout, Spill, Subset
from cpt.host.compiler.vectors import LOCAL, SUMS_REGION, Vector, Vectors
from cpt.hw.contract import ContractError
from cpt.hw.contract.config import MAX_BITS
from cpt.hw.contract.floats import CHANNELS, Coefficient, Statistic
from cpt.hw.contract.passes import (
    Apply,
    Drain,
    Kernel,
    Move,
    Sampling,
    gradient_tiles,
    noise_place,
)
from cpt.hw.contract.passes import geometry as lanes
from cpt.hw.contract.step import Code
from cpt.hw.contract.tiles import PIECES, Picture

RUN_WORDS = 1 << 15
"""Most words of one run of MOVE."""
PLAIN = (Apply.COUNT, Apply.POOL, Apply.UNPOOL)
"""Applies without coefficients."""


@dataclass(frozen=True)
class Tensor:
    """16-bit numbers in a bank of scratch; ``home``: where in memory they lie that have no room there.

    Without a ``home`` that is the memory behind the bank.
    """

    bank: int
    home: Spill | None = None


class Emitter:
    """Emits what the engines do between FLOAT programs.

    A tensor that has room in its bank is there from the instruction that makes it on, `fill` and `spill` move
    it. One that has not is always in memory: every pass brings part after part and takes its results away,
    and `fill` and `spill` have nothing to do.
    """

    def __init__(self, layout: Layout, builder: Recorder, vectors: Vectors) -> None:
        self.layout, self.builder, self.v = layout, builder, vectors

    # -------------------------------------------------------------------------------------- moves

    def load(self, piece: Piece, to: Vector | None = None) -> Vector:
        """32-bit words from memory to local memory; where they are odd one more moves."""
        to = to or self.v.new(piece.size // 4)
        self._local(Move.LOCAL_IN, piece, to)
        return to

    def store(self, vector: Vector, piece: Piece) -> None:
        """32-bit words from local memory to memory; where they are odd one more moves."""
        self._local(Move.LOCAL_OUT, piece, vector)

    def load_runs(self, piece: Piece, to: Vector, *, words: int, runs: int, stride: int) -> None:
        """``runs`` runs of ``words`` words, ``stride`` words apart, side by side to local memory."""
        self._runs(Move.LOCAL_IN, piece, to, words, runs, stride)

    def store_runs(self, vector: Vector, piece: Piece, *, words: int, runs: int, stride: int) -> None:
        """The other way round."""
        self._runs(Move.LOCAL_OUT, piece, vector, words, runs, stride)

    def _runs(self, kind: Move, piece: Piece, vector: Vector, words: int, runs: int, stride: int) -> None:
        part = piece.words(0, stride * (runs - 1) + words)
        local = Region(LOCAL, vector.address, vector.address + words * runs)
        into = kind is Move.LOCAL_IN
        self.builder.add(
            Code.MOVE,
            [part.region if into else local],
            [local if into else part.region],
            kind=int(kind),
            base=piece.base,
            offset=piece.offset,
            words=words,
            runs=runs,
            stride=4 * stride,
            place=vector.address,
            place_stride=words,
        )

    def _local(self, kind: Move, piece: Piece, vector: Vector) -> None:
        words = whole_pairs(piece.size // 4)
        local = Region(LOCAL, vector.address, vector.address + words)
        memory = Piece(piece.base, piece.offset, 4 * words).region
        into = kind is Move.LOCAL_IN
        self.builder.add(
            Code.MOVE,
            [memory if into else local],
            [local if into else memory],
            kind=int(kind),
            base=piece.base,
            offset=piece.offset,
            words=words,
            runs=1,
            place=vector.address,
        )

    def spill(self, tensor: Tensor, picture: Picture, channels: int) -> None:
        """A tensor from scratch to its home."""
        self._whole(Move.SCRATCH_OUT, tensor, picture, channels)

    def fill(self, tensor: Tensor, picture: Picture, channels: int) -> None:
        """A tensor from its home to scratch."""
        self._whole(Move.SCRATCH_IN, tensor, picture, channels)

    def _whole(self, kind: Move, tensor: Tensor, picture: Picture, channels: int) -> None:
        if not self.layout.spilled(picture, channels):
            (part,) = self.layout.parts(picture, channels)
            self._part(kind, tensor, picture, channels, part)

    def _part(self, kind: Move, tensor: Tensor, picture: Picture, channels: int, part: Part) -> None:
        """Part of a tensor between scratch and memory; all channels of some images touch there."""
        layout = self.layout
        group, groups = layout.group, layout.groups(channels)
        home = tensor.home.piece if tensor.home else layout.behind[tensor.bank]
        width, tiles = 2 * layout.config.cols, part.images * picture.tiles
        words, runs, stride, gap = part.groups * group, tiles, groups * group, part.groups * group
        if part.groups == groups:
            whole = words * runs
            words, runs = min(whole, RUN_WORDS), -(-whole // RUN_WORDS)
            stride = gap = RUN_WORDS
        first = part.image * picture.tiles * groups * group + part.group * group
        length = (tiles - 1) * groups * group + part.groups * group
        memory = Piece(home.base, home.offset + first * width, length * width)
        used = self._used(tensor, picture, part)
        into = kind is Move.SCRATCH_IN
        self.builder.add(
            Code.MOVE,
            [memory.region if into else used],
            [used if into else memory.region],
            kind=int(kind),
            base=memory.base,
            offset=memory.offset,
            words=words,
            runs=runs,
            stride=stride * width,
            place=used.start,
            place_stride=gap if runs > 1 else 0,
        )

    def _used(self, tensor: Tensor, picture: Picture, part: Part) -> Region:
        """Words of scratch that part of a tensor takes."""
        start = tensor.bank * self.layout.scratch.bank + part.word
        return Region("scratch", start, start + part.images * picture.tiles * part.groups * self.layout.group)

    def _bytes(self, tensor: Tensor, picture: Picture, all_tiles: int, channels: int, part: Part) -> None:
        """Bytes of images, ``all_tiles`` tiles each, to scratch.

        Words of channels that do not exist stay as they are.
        """
        layout = self.layout
        stride = channels * layout.config.cols
        used = self._used(tensor, picture, part)
        self.builder.add(
            Code.MOVE,
            [layout.images_piece.region],
            [used],
            kind=int(Move.BYTES_IN),
            base=IMAGES,
            offset=(part.image * all_tiles + part.tile) * stride,
            words=channels,
            runs=part.images * picture.tiles,
            stride=stride,
            place=used.start,
            place_stride=part.groups * layout.group,
        )

    def images(self, tensor: Tensor, picture: Picture, channels: int) -> None:
        """Bytes of images to scratch, where they have room at once."""
        parts = self._bands(picture, channels)
        if len(parts) == 1:
            self._bytes(tensor, picture, picture.tiles, channels, parts[0][0])

    def _bands(self, picture: Picture, channels: int) -> list[tuple[Part, Picture]]:
        layout = self.layout
        return list(layout.scratch.bands(picture, layout.images, layout.groups(channels)))

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
            Code.MOVE,
            [Region(LOCAL, codes.address, codes.address + codes.count)],
            [part.region],
            kind=int(Move.PACK),
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

    # ----------------------------------------------------------------------------------- products

    def forward(self, plan: ConvPlan, inputs: Codes, part: Part) -> None:
        """The product of a convolution's weights and its input's windows, a part's channels of it."""
        conv = plan.conv
        self._weights(plan.planes, plan.slot, conv.kernel, conv.in_channels, part)
        sampling = Sampling.STRIDE if conv.stride == 2 else Sampling.SAME
        self._windows(inputs, conv.kernel, sampling, conv.padding, plan.output)
        self._execute(plan.slot, inputs.slot, conv.kernel, conv.in_channels, part, plan.output)

    def errors(self, plan: ConvPlan, part: Part) -> None:
        """The product of dX: weights by input channel, windows of the errors."""
        conv = plan.conv
        self._weights(plan.error_planes, plan.slot, conv.kernel, conv.out_channels, part)
        sampling = Sampling.SPREAD if conv.stride == 2 else Sampling.SAME
        self._windows(plan.errors, conv.kernel, sampling, conv.kernel - 1 - conv.padding, plan.source)
        self._execute(plan.slot, ERROR_SLOT, conv.kernel, conv.out_channels, part, plan.source)

    def _weights(self, planes: Piece, slot: int, kernel: int, inputs: int, part: Part) -> None:
        layout = self.layout
        ksteps = layout.ksteps(kernel, layout.groups(inputs))
        plane, tile = ksteps * layout.config.group_bytes("a"), layout.tile_bytes(ksteps)
        held = Piece(planes.base, planes.offset + part.group * tile, part.groups * tile)
        self.builder.add(
            Code.LOAD_A,
            [held.region],
            slot=slot,
            tiles=part.groups,
            ksteps=ksteps,
            base=held.base,
            offset=held.offset,
            tile_stride=MAX_BITS * plane,
            plane_stride=plane,
        )

    def _windows(self, codes: Codes, kernel: int, sampling: Sampling, pad: int, output: Picture) -> None:
        source = codes.layout.picture
        self.builder.add(
            Code.FETCH,
            [codes.piece.region],
            slot=codes.slot,
            kernel=int(Kernel.THREE if kernel == 3 else Kernel.ONE),
            sampling=int(sampling),
            images=self.layout.images,
            pad=pad,
            base=codes.piece.base,
            offset=codes.piece.offset,
            groups=codes.layout.groups,
            planes=codes.layout.max_bits,
            pitch_log2=source.pitch.bit_length() - 1,
            out_pitch_log2=output.pitch.bit_length() - 1,
            strips=source.strips,
            out_strips=output.strips,
            height=source.height,
            width=source.width,
            out_height=output.height,
            out_width=output.width,
        )

    def _execute(
        self, slot_a: int, slot_b: int, kernel: int, inputs: int, part: Part, output: Picture
    ) -> None:
        layout = self.layout
        self.builder.add(
            Code.EXEC,
            slot_a=slot_a,
            slot_b=slot_b,
            ksteps=layout.ksteps(kernel, layout.groups(inputs)),
            a_tiles=part.groups,
            tiles=layout.images * output.tiles,
        )

    def gradient(self, plan: ConvPlan, inputs: Codes, subset: Subset) -> None:
        """dW of some groups of a convolution into the 48-bit sums, chunk by chunk."""
        conv, layout = plan.conv, self.layout
        together = max(PIECES * layout.group // plan.output.pitch, 1)
        rows = layout.chunk_rows(plan, subset)
        first = True
        for image_group in range(-(-layout.images // together)):
            for strip in range(plan.output.strips):
                for row in range(0, conv.out_height, rows):
                    chunk = {
                        "row": row,
                        "rows": min(rows, conv.out_height - row),
                        "image_group": image_group,
                        "strip": strip,
                        "images": layout.images,
                    }
                    self._gradient_chunk(plan, inputs, subset, chunk, first)
                    first = False

    def _gradient_chunk(
        self, plan: ConvPlan, inputs: Codes, subset: Subset, chunk: dict[str, int], first: bool
    ) -> None:
        conv, errors = plan.conv, plan.errors
        kernel = Kernel.THREE if conv.kernel == 3 else Kernel.ONE
        sampling = Sampling.STRIDE if conv.stride == 2 else Sampling.SAME
        operands = ((errors, subset.output, subset.outputs), (inputs, subset.input, subset.inputs))
        of_errors, of_inputs = (
            {
                "slot": codes.slot,
                "groups": groups,
                "all_groups": codes.layout.groups if groups != codes.layout.groups else 0,
                "base": codes.piece.base,
                "offset": codes.piece.offset + first_group * codes.layout.group_stride,
                "planes": codes.layout.max_bits,
            }
            for codes, first_group, groups in operands
        )
        self.builder.add(
            Code.LOAD_E,
            [errors.piece.region],
            [],
            pitch_log2=plan.output.pitch.bit_length() - 1,
            strips=plan.output.strips,
            height=conv.out_height,
            width=conv.out_width,
            **of_errors,
            **chunk,
        )
        self.builder.add(
            Code.FETCH_X,
            [inputs.piece.region],
            [],
            kernel=int(kernel),
            sampling=int(sampling),
            pitch_log2=plan.source.pitch.bit_length() - 1,
            out_pitch_log2=plan.output.pitch.bit_length() - 1,
            strips=plan.source.strips,
            pad=conv.padding,
            height=conv.height,
            width=conv.width,
            **of_inputs,
            **chunk,
        )
        self.builder.add(
            Code.EXEC_DW,
            slot_a=ERROR_SLOT,
            slot_b=inputs.slot,
            kernel=int(kernel),
            sampling=int(sampling),
            a_tiles=subset.outputs,
            groups=subset.inputs,
            rows=chunk["rows"],
        )
        self.builder.add(
            Code.DRAIN,
            [] if first else [SUMS_REGION],
            [SUMS_REGION],
            kind=int(Drain.GRADIENT),
            slot=plan.slot,
            first=int(first),
            tiles=len(gradient_tiles(conv.kernel**2, subset.inputs)),
            a_tiles=subset.outputs,
            images=1,
            out=self.layout.scratch.sums,
        )

    # -------------------------------------------------------------------------------------- lanes

    def drain(
        self,
        kind: Drain,
        plan: ConvPlan,
        product: Callable[[Part], None],
        picture: Picture,
        channels: int,
        channel: int,
        out: Tensor,
        *,
        y: Tensor | None = None,
        stream: Tensor | None = None,
        mask: Tensor | None = None,
    ) -> None:
        """A product through the lanes into scratch, in parts if need be; ``product`` emits one's."""
        layout = self.layout
        operands = [item for item in (y, stream, mask) if item]
        for part in layout.parts(picture, channels, layout.most_groups(picture, channels)):
            if not part.image:
                product(part)
            places = self._bring(operands, picture, channels, part)
            used, at = self._used(out, picture, part), channel + part.group * layout.group
            held = part.groups * layout.group
            self.builder.add(
                Code.DRAIN,
                [*places.values(), *(_fields("coefficients", field, at, held) for field in Coefficient)],
                [used, *(_fields("statistics", field, at, held) for field in Statistic)],
                kind=int(kind),
                slot=plan.slot,
                **lanes(picture),
                tiles=picture.tiles,
                a_tiles=part.groups,
                images=part.images,
                channel=at,
                out=used.start,
                y=places[y].start if y else 0,
                clear=int(part.first),
                stream=places[stream].start // IN_WORDS if stream else 0,
                mask=places[mask].start // IN_WORDS if mask else 0,
            )
            self._take(out, picture, channels, part)

    def _bring(
        self, tensors: list[Tensor], picture: Picture, channels: int, part: Part
    ) -> dict[Tensor, Region]:
        """Part of tensors to their banks, where they have no room as a whole; the words that it takes."""
        if self.layout.spilled(picture, channels):
            for tensor in dict.fromkeys(tensors):
                self._part(Move.SCRATCH_IN, tensor, picture, channels, part)
        return {tensor: self._used(tensor, picture, part) for tensor in tensors}

    def _take(self, tensor: Tensor, picture: Picture, channels: int, part: Part) -> None:
        """A result's part to memory, where it has no room as a whole."""
        if self.layout.spilled(picture, channels):
            self._part(Move.SCRATCH_OUT, tensor, picture, channels, part)

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
        codes: Codes | None = None,
        local: Vector | None = None,
        layer: int = 0,
        counts: bool = False,
        images: bool = False,
    ) -> None:
        """Words of scratch through the lanes: to codes, to scratch, or counted; in parts if need be.

        ``local``: numbers of each image, by channel; parts have all channels then. ``images``: y are bytes
        of images.
        """
        layout = self.layout
        group = layout.group
        if images:
            parts = self._bands(picture, channels)
        else:
            parts = [(part, picture) for part in layout.parts(picture, channels)]
        if local and any(part.groups != layout.groups(channels) for part, _ in parts):
            raise ContractError(
                f"pooling {channels} channels of {picture.height} x {picture.width} takes several parts "
                f"of an image; allowed: one, in half of a bank of scratch"
            )
        for part, shown in parts:
            if images:
                if len(parts) > 1:
                    self._bytes(y, shown, picture.tiles, channels, part)
                places = {y: self._used(y, shown, part)}
            else:
                places = self._bring([item for item in (y, second) if item], picture, channels, part)
            at, held = channel + part.group * group, part.groups * group
            reads = list(places.values())
            if kind not in PLAIN:
                reads += [_fields("coefficients", field, at, held) for field in Coefficient]
            writes: list[Region] = []
            fields: dict[str, int] = {}
            if counts:
                writes += [_fields("statistics", field, at, held) for field in Statistic]
            if out:
                used = self._used(out, picture, part)
                writes.append(used)
                fields["out"] = used.start // IN_WORDS
            if local:
                some = local.at(part.image * channels, part.images * channels)
                region = Region(LOCAL, some.address, some.address + some.count)
                (reads if kind is Apply.UNPOOL else writes).append(region)
                if out:
                    fields["offset"] = used.start
                fields["out"] = some.address
            if codes:
                before = part.image * codes.layout.image_stride + part.group * codes.layout.group_stride
                before += part.tile * codes.layout.tile_stride
                writes.append(codes.piece.region)
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
                **lanes(shown),
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


def _fields(memory: str, field: int, channel: int, count: int) -> Region:
    start = field * CHANNELS + channel
    return Region(memory, start, start + count)
