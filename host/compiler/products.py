"""Products of the three passes of a convolution: loads, fetches and EXEC."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from functools import partial

from cpt.host.compiler.layout import Layout
from cpt.host.compiler.lifetimes import Recorder
from cpt.host.compiler.memory import Piece
from cpt.host.compiler.parts import Part, Sums
from cpt.host.compiler.plan import ERROR_SLOT, Codes, ConvPlan, Planes, Subset
from cpt.hw.contract.config import MAX_BITS
from cpt.hw.contract.passes import Drain, Kernel, Sampling, gradient_slots
from cpt.hw.contract.step import Code
from cpt.hw.contract.tiles import Picture
from cpt.model.architecture import Conv


@dataclass(frozen=True)
class Emitter:
    """A product of a micro-batch: of a part weights and EXEC, and the windows of some of its images."""

    weights: Callable[[Part], None]
    windows: Callable[[Part], None]
    execute: Callable[[Part], None]

    def whole(self, part: Part) -> None:
        """A part at once."""
        self.weights(part)
        self.windows(part)
        self.execute(part)


class Products:
    """Emits products; who drains them is `Lanes`, but for the sums of dW."""

    def __init__(self, layout: Layout, builder: Recorder) -> None:
        self.layout, self.builder = layout, builder

    def forward(self, plan: ConvPlan, inputs: Codes) -> Emitter:
        """The product of a convolution's weights and its input's windows."""
        conv = plan.conv
        sampling = Sampling.STRIDE if conv.stride == 2 else Sampling.SAME
        return Emitter(
            partial(self._weights, plan.planes, plan.slot, conv, conv.in_channels),
            partial(self._windows, inputs, conv, sampling, conv.padding, plan.output),
            partial(self._execute, plan.slot, inputs.slot, conv, conv.in_channels, plan.output),
        )

    def errors(self, plan: ConvPlan) -> Emitter:
        """The product of dX: weights by input channel, windows of the errors."""
        conv = plan.conv
        sampling = Sampling.SPREAD if conv.stride == 2 else Sampling.SAME
        return Emitter(
            partial(self._weights, plan.error_planes, plan.slot, conv, conv.out_channels),
            partial(self._windows, plan.errors, conv, sampling, conv.kernel - 1 - conv.padding, plan.source),
            partial(self._execute, plan.slot, ERROR_SLOT, conv, conv.out_channels, plan.source),
        )

    def mask(self, mask: Planes) -> Emitter:
        """The product that gives a mask's bits as they are."""
        picture = mask.layout.picture
        return Emitter(
            partial(self._identity, mask),
            partial(self._windows, mask, None, Sampling.SAME, 0, picture),
            partial(self._execute, mask.slot, mask.slot, None, mask.layout.channels, picture),
        )

    def _identity(self, mask: Planes, part: Part) -> None:
        layout = self.layout
        step = layout.config.group_bytes("a")
        tile = layout.ksteps(1, layout.most_end_groups) * step
        self.builder.add(
            Code.LOAD_A,
            [layout.identity.region],
            slot=mask.slot,
            tiles=part.groups,
            ksteps=layout.ksteps(1, mask.layout.groups),
            base=layout.identity.base,
            offset=layout.identity.offset + part.group * tile,
            tile_stride=tile,
            plane_stride=tile,
        )

    def _weights(self, planes: Piece, slot: int, conv: Conv, inputs: int, part: Part) -> None:
        layout = self.layout
        ksteps = layout.weight_ksteps(conv, inputs)
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

    def _windows(
        self, codes: Planes, conv: Conv | None, sampling: Sampling, pad: int, output: Picture, part: Part
    ) -> None:
        """Of a part's images all channels; of a depth-wise layer's the part's. Without ``conv`` 1 x 1."""
        source, held = codes.layout.picture, codes.images(part.image, part.images)
        first, groups = 0, codes.layout.groups
        if conv and conv.groups > 1:
            first, groups = part.group, part.groups
        self.builder.add(
            Code.FETCH,
            [held.region],
            slot=codes.slot,
            kernel=int(Kernel.THREE if conv and conv.kernel == 3 else Kernel.ONE),
            sampling=int(sampling),
            images=part.images,
            pad=pad,
            base=held.base,
            offset=held.offset + first * codes.layout.group_stride,
            groups=groups,
            all_groups=codes.layout.groups if groups != codes.layout.groups else 0,
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
        self, slot_a: int, slot_b: int, conv: Conv | None, inputs: int, output: Picture, part: Part
    ) -> None:
        """A part's product; without ``conv`` that of a mask and the identity, 1 x 1."""
        layout = self.layout
        self.builder.add(
            Code.EXEC,
            [],
            [],
            slot_a=slot_a,
            slot_b=slot_b,
            ksteps=layout.weight_ksteps(conv, inputs) if conv else layout.ksteps(1, layout.groups(inputs)),
            a_tiles=part.groups,
            tiles=part.images * output.tiles,
            own=int(conv is not None and conv.groups > 1),
        )

    def gradient(self, plan: ConvPlan, inputs: Codes, subset: Subset, sums: Sums) -> None:
        """dW of some groups of a convolution into the 48-bit ``sums``, chunk by chunk."""
        conv, layout = plan.conv, self.layout
        rows = layout.dw.chunk_rows(plan, subset)
        first = True
        for image_group in range(-(-layout.images // plan.output.set_images)):
            for row in range(0, conv.out_height, rows):
                chunk = {
                    "row": row,
                    "rows": min(rows, conv.out_height - row),
                    "image_group": image_group,
                    "images": layout.images,
                }
                self._gradient_chunk(plan, inputs, subset, chunk, sums, first=first)
                first = False

    def _gradient_chunk(
        self,
        plan: ConvPlan,
        inputs: Codes,
        subset: Subset,
        chunk: dict[str, int],
        sums: Sums,
        *,
        first: bool,
    ) -> None:
        conv, errors, layout = plan.conv, plan.errors, self.layout
        kernel = Kernel.THREE if conv.kernel == 3 else Kernel.ONE
        sampling = Sampling.STRIDE if conv.stride == 2 else Sampling.SAME
        operands = ((errors, subset.output, subset.outputs), (inputs, subset.input, subset.inputs))
        together = plan.output.set_images
        image = chunk["image_group"] * together
        images = image, min(together, layout.images - image)
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
            [errors.images(*images).region],
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
            [inputs.images(*images).region],
            [],
            kernel=int(kernel),
            sampling=int(sampling),
            pitch_log2=plan.source.pitch.bit_length() - 1,
            out_pitch_log2=plan.output.pitch.bit_length() - 1,
            strips=plan.source.strips,
            out_strips=plan.output.strips,
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
        for slot in gradient_slots(conv.kernel**2, subset.inputs):
            # All of them: FLOAT would read the others out of the bank that the lanes write.
            self.builder.add(
                Code.DRAIN,
                [] if first else [sums.region],
                [sums.region],
                kind=int(Drain.GRADIENT),
                slot=plan.slot,
                first=int(first),
                tiles=slot.columns,
                a_tiles=subset.outputs,
                images=1,
                out=sums.of(slot, subset.outputs * layout.group).region.start,
            )
