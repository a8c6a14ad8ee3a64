"""Passes over tensors as instructions: moves, products, drains and applies of one micro-batch."""

from __future__ import annotations

from cpt.host.compiler.builder import Builder, Region
from cpt.host.compiler.memory import IMAGES, Piece, Scratch, Tensor, whole_pairs
from cpt.host.compiler.plan import ERROR_SLOT, Codes, ConvPlan, Layout, Spill
from cpt.host.compiler.vectors import LOCAL, SUMS_REGION, Vector, Vectors
from cpt.hw.contract.config import MAX_BITS
from cpt.hw.contract.floats import CHANNELS, Coefficient, Statistic
from cpt.hw.contract.passes import Apply, Drain, Kernel, Move, Sampling, gradient_tiles
from cpt.hw.contract.passes import geometry as lanes
from cpt.hw.contract.step import Code
from cpt.hw.contract.tiles import PIECES, Picture

RUN_WORDS = 1 << 15
"""Most words of one run of MOVE."""


class Emitter:
    """Emits what the engines do between FLOAT programs."""

    def __init__(self, layout: Layout, scratch: Scratch, builder: Builder, vectors: Vectors) -> None:
        self.layout, self.scratch, self.builder, self.v = layout, scratch, builder, vectors

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
        """``runs`` runs of ``words`` words, ``stride`` words apart, side by side."""
        self.builder.add(
            Code.MOVE,
            [piece.region],
            [Region(LOCAL, to.address, to.address + words * runs)],
            kind=int(Move.LOCAL_IN),
            base=piece.base,
            offset=piece.offset,
            words=words,
            runs=runs,
            stride=4 * stride,
            place=to.address,
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

    def spill(self, tensor: Tensor, to: Spill, channels: int) -> None:
        """A tensor from scratch to memory."""
        self._scratch(Move.SCRATCH_OUT, tensor, to, channels)

    def fill(self, tensor: Tensor, source: Spill, channels: int) -> None:
        """A tensor from memory to scratch."""
        self._scratch(Move.SCRATCH_IN, tensor, source, channels)

    def _scratch(self, kind: Move, tensor: Tensor, spill: Spill, channels: int) -> None:
        words = self.layout.words(spill.picture, channels)
        width = 2 * self.layout.config.cols
        used = Region("scratch", tensor.word, tensor.word + words)
        into = kind is Move.SCRATCH_IN
        self.builder.add(
            Code.MOVE,
            [spill.piece.region if into else used],
            [used if into else spill.piece.region],
            kind=int(kind),
            base=spill.piece.base,
            offset=spill.piece.offset,
            words=min(words, RUN_WORDS),
            runs=-(-words // RUN_WORDS),
            stride=RUN_WORDS * width,
            place=tensor.word,
        )

    def images(self, tensor: Tensor, picture: Picture, channels: int) -> None:
        """Bytes of images to scratch; words of channels that do not exist stay as they are."""
        layout = self.layout
        held = layout.groups(channels) * layout.group
        tiles = layout.images * picture.tiles
        self.builder.add(
            Code.MOVE,
            [layout.images_piece.region],
            [Region("scratch", tensor.word, tensor.word + tiles * held)],
            kind=int(Move.BYTES_IN),
            base=IMAGES,
            offset=0,
            words=channels,
            runs=tiles,
            stride=channels * layout.config.cols,
            place=tensor.word,
            place_stride=held,
        )

    def pack(
        self,
        codes: Vector,
        planes: Piece,
        tile: int,
        slot: int,
        *,
        rows: int,
        channels: int,
        ksteps: int,
        row_stride: int,
        tap_stride: int,
        channel_stride: int,
    ) -> None:
        """Codes in local memory as one tile of operand A."""
        size = self.layout.tile_bytes(ksteps)
        part = Piece(planes.base, planes.offset + tile * size, size)
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
            place=codes.address,
            row_stride=row_stride,
            place_stride=tap_stride,
            stride=channel_stride,
        )

    # ----------------------------------------------------------------------------------- products

    def forward(self, plan: ConvPlan, inputs: Codes) -> None:
        """The product of a convolution's weights and its input's windows."""
        conv = plan.conv
        self._weights(plan.planes, plan.slot, conv.kernel, conv.in_channels, conv.out_channels)
        sampling = Sampling.STRIDE if conv.stride == 2 else Sampling.SAME
        self._windows(inputs, conv.kernel, sampling, conv.padding, plan.output)
        self._execute(plan.slot, inputs.slot, conv.kernel, conv.in_channels, conv.out_channels, plan.output)

    def errors(self, plan: ConvPlan) -> None:
        """The product of dX: weights by input channel, windows of the errors."""
        conv = plan.conv
        self._weights(plan.error_planes, plan.slot, conv.kernel, conv.out_channels, conv.in_channels)
        sampling = Sampling.SPREAD if conv.stride == 2 else Sampling.SAME
        self._windows(plan.errors, conv.kernel, sampling, conv.kernel - 1 - conv.padding, plan.source)
        self._execute(plan.slot, ERROR_SLOT, conv.kernel, conv.out_channels, conv.in_channels, plan.source)

    def _weights(self, planes: Piece, slot: int, kernel: int, inputs: int, outputs: int) -> None:
        layout = self.layout
        ksteps = layout.ksteps(kernel, layout.groups(inputs))
        plane = ksteps * layout.config.group_bytes("a")
        self.builder.add(
            Code.LOAD_A,
            [planes.region],
            slot=slot,
            tiles=layout.groups(outputs),
            ksteps=ksteps,
            base=planes.base,
            offset=planes.offset,
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
        self, slot_a: int, slot_b: int, kernel: int, inputs: int, outputs: int, output: Picture
    ) -> None:
        layout = self.layout
        tiles, rows = layout.images * output.tiles, layout.groups(outputs)
        self.builder.add(
            Code.EXEC,
            slot_a=slot_a,
            slot_b=slot_b,
            ksteps=layout.ksteps(kernel, layout.groups(inputs)),
            a_tiles=rows,
            tiles=tiles,
        )

    def gradient(self, plan: ConvPlan, inputs: Codes) -> None:
        """dW of a convolution into the 48-bit sums, chunk by chunk."""
        conv, layout = plan.conv, self.layout
        groups, outputs = layout.groups(conv.in_channels), layout.groups(conv.out_channels)
        tiles = len(gradient_tiles(conv.kernel**2, groups))
        sampling = Sampling.STRIDE if conv.stride == 2 else Sampling.SAME
        kernel = Kernel.THREE if conv.kernel == 3 else Kernel.ONE
        together = max(PIECES * layout.group // plan.output.pitch, 1)
        rows = self._chunk_rows(plan, groups, outputs)
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
                    self._gradient_chunk(plan, inputs, kernel, sampling, chunk, tiles, first)
                    first = False

    def _gradient_chunk(
        self,
        plan: ConvPlan,
        inputs: Codes,
        kernel: Kernel,
        sampling: Sampling,
        chunk: dict[str, int],
        tiles: int,
        first: bool,
    ) -> None:
        conv, layout, errors = plan.conv, self.layout, plan.errors
        groups, outputs = layout.groups(conv.in_channels), layout.groups(conv.out_channels)
        self.builder.add(
            Code.LOAD_E,
            [errors.piece.region],
            [],
            slot=ERROR_SLOT,
            groups=outputs,
            base=errors.piece.base,
            offset=errors.piece.offset,
            planes=errors.layout.max_bits,
            pitch_log2=plan.output.pitch.bit_length() - 1,
            strips=plan.output.strips,
            height=conv.out_height,
            width=conv.out_width,
            **chunk,
        )
        self.builder.add(
            Code.FETCH_X,
            [inputs.piece.region],
            [],
            slot=inputs.slot,
            groups=groups,
            kernel=int(kernel),
            sampling=int(sampling),
            base=inputs.piece.base,
            offset=inputs.piece.offset,
            planes=inputs.layout.max_bits,
            pitch_log2=plan.source.pitch.bit_length() - 1,
            out_pitch_log2=plan.output.pitch.bit_length() - 1,
            strips=plan.source.strips,
            pad=conv.padding,
            height=conv.height,
            width=conv.width,
            **chunk,
        )
        self.builder.add(
            Code.EXEC_DW,
            slot_a=ERROR_SLOT,
            slot_b=inputs.slot,
            kernel=int(kernel),
            sampling=int(sampling),
            a_tiles=outputs,
            groups=groups,
            rows=chunk["rows"],
        )
        self.builder.add(
            Code.DRAIN,
            [] if first else [SUMS_REGION],
            [SUMS_REGION],
            kind=int(Drain.GRADIENT),
            slot=plan.slot,
            first=int(first),
            tiles=tiles,
            a_tiles=outputs,
            images=1,
            out=self.scratch.sums,
        )

    def _chunk_rows(self, plan: ConvPlan, groups: int, outputs: int) -> int:
        """Rows of a chunk: what both buffers hold at `MAX_BITS`/2 planes, half of each at a time."""
        config, conv = self.layout.config, plan.conv
        if plan.output.tile_rows > 1:
            return conv.out_height
        halves = -(-groups // 2)
        of_a = config.half_words("a") // (MAX_BITS // 2 * outputs)
        of_b = (config.half_words("b") // (MAX_BITS // 2 * 3 * halves) - 2) // conv.stride
        return max(1, min(conv.out_height, of_a, of_b))

    # -------------------------------------------------------------------------------------- lanes

    def drain(
        self,
        kind: Drain,
        plan: ConvPlan,
        picture: Picture,
        channels: int,
        channel: int,
        out: Tensor,
        *,
        y: Tensor | None = None,
        stream: Tensor | None = None,
        mask: Tensor | None = None,
    ) -> None:
        """A product through the lanes into scratch."""
        layout = self.layout
        words = layout.words(picture, channels)
        operands = [item for item in (y, stream, mask) if item]
        reads = [Region("scratch", item.word, item.word + words) for item in operands]
        held = layout.groups(channels) * layout.group
        reads += [_fields("coefficients", field, channel, held) for field in Coefficient]
        writes = [Region("scratch", out.word, out.word + words)]
        writes += [_fields("statistics", field, channel, held) for field in Statistic]
        self.builder.add(
            Code.DRAIN,
            reads,
            writes,
            kind=int(kind),
            slot=plan.slot,
            **lanes(picture),
            tiles=picture.tiles,
            a_tiles=layout.groups(channels),
            images=layout.images,
            channel=channel,
            out=out.word,
            y=y.word if y else 0,
            clear=1,
            stream=stream.short if stream else 0,
            mask=mask.short if mask else 0,
        )

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
    ) -> None:
        """Words of scratch through the lanes: to codes, to scratch, or counted."""
        layout = self.layout
        words = layout.words(picture, channels)
        held = layout.groups(channels) * layout.group
        reads: list[Region] = [
            Region("scratch", item.word, item.word + words) for item in (y, second) if item
        ]
        reads += [_fields("coefficients", field, channel, held) for field in Coefficient]
        writes: list[Region] = []
        if codes:
            writes.append(codes.piece.region)
        if counts:
            writes += [_fields("statistics", field, channel, held) for field in Statistic]
        fields: dict[str, int] = {}
        if out:
            writes.append(Region("scratch", out.word, out.word + words))
            fields["out"] = out.short
        if local:
            part = Region(LOCAL, local.address, local.address + local.count)
            (reads if kind is Apply.UNPOOL else writes).append(part)
            fields["out"] = local.address
        if kind is Apply.UNPOOL and out:
            fields["offset"] = out.word
        if codes:
            fields |= {
                "base": codes.piece.base,
                "offset": codes.piece.offset,
                "planes": codes.layout.max_bits,
                "slot": codes.slot,
            }
        self.builder.add(
            Code.APPLY,
            reads,
            writes,
            kind=int(kind),
            **lanes(picture),
            clear=1,
            tiles=picture.tiles,
            groups=layout.groups(channels),
            images=layout.images,
            y=y.word,
            second=second.short if second else 0,
            channel=channel,
            channels=channels,
            layer=layer,
            **fields,
        )


def _fields(memory: str, field: int, channel: int, count: int) -> Region:
    start = field * CHANNELS + channel
    return Region(memory, start, start + count)
