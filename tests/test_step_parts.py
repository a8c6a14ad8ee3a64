"""Tensors and weights that do not fit on the chip go through it in parts, with the golden trainer's bits."""

import itertools
from dataclasses import replace

import numpy as np
import pytest
from step_networks import (
    CLASSES,
    RATE,
    drawn,
    fabric,
    golden,
    inverted,
    layer,
    network,
    same_weights,
    widening,
)

from cpt.host.compiler.builder import Region
from cpt.host.compiler.choice import Product, Way, of_product
from cpt.host.compiler.lifetimes import Recorder
from cpt.host.compiler.network import EVALUATE, LAST_BACKWARD, OF_FEW, ONLY_FORWARD, PREPARE, compiled
from cpt.host.compiler.parts import Scratch
from cpt.host.compiler.vectors import Vectors, number
from cpt.hw.contract import ContractError, preset
from cpt.hw.contract.floats import LOCAL_WORDS, Space
from cpt.hw.contract.passes import Apply, Bring, Drain, Store, noise_place
from cpt.hw.contract.step import WORD_BYTES, Code, decode
from cpt.hw.contract.tiles import Picture
from cpt.model.architecture import cifar_resnet
from cpt.model.golden.fabric.hash import noise_bytes
from cpt.model.golden.fabric.network import Block, Network
from cpt.sim.step.interleaving import Interleaving

FEW_WORDS, HALVES_WORDS = 4 * 256, 4 * 512
"""Scratch of machines whose tensors do not fit; with more, those of the backward pass alone, in halves."""


def test_a_tensor_without_room_in_scratch_comes_in_parts_with_the_same_bits():
    trainer = same_weights(
        "tiny", widening(16, 12), (4, 8), batch=5, micro_batch=5, scratch_words=FEW_WORDS, size=8
    )
    layout = trainer.layout
    of_images = layout.parts(layout.forward, layout.plans[0].output, 16)
    assert [(part.image, part.images, part.groups) for part in of_images] == [(0, 1, 4), (1, 2, 4), (3, 2, 4)]
    assert [part.word for part in of_images] == [256, 0, 256]
    assert not layout.spilled(layout.backward, layout.plans[1].output, 12)


@pytest.mark.parametrize("way", [Way.SPILL, Way.RECOMPUTE])
def test_depth_wise_layers_come_in_parts_of_groups_with_the_same_bits(way):
    own, fetched = set(), set()

    def wrap(machine):
        of_exec, of_fetch = machine.products.execute, machine._handlers[Code.FETCH]
        machine._handlers[Code.EXEC] = lambda word: (
            own.add((word.own, word.a_tiles)),
            of_exec(word),
        )
        machine._handlers[Code.FETCH] = lambda word: (
            fetched.add((word.groups, word.all_groups)),
            of_fetch(word),
        )
        Interleaving(machine, 4)

    same_weights(
        "middle",
        inverted(12, 48, 16),
        (4, 8),
        batch=2,
        micro_batch=2,
        scratch_words=FEW_WORDS,
        size=16,
        way=way,
        wrap=wrap,
    )
    assert (1, 2) in own
    assert (2, 6) in fetched


@pytest.mark.parametrize("way", [Way.SPILL, Way.RECOMPUTE])
@pytest.mark.parametrize("words", [FEW_WORDS, HALVES_WORDS, 4 * 2048])
def test_wherever_y_comes_from_the_bits_are_the_same(way, words):
    trainer = same_weights(
        "tiny", widening(16, 12), (4, 8), batch=5, micro_batch=5, scratch_words=words, size=8, way=way
    )
    spilled = [home is not None for home in trainer.layout.homes.values()]
    assert set(spilled) == {way is Way.SPILL}


def test_what_has_room_in_scratch_goes_to_memory_as_codes_alone():
    trainer = same_weights(
        "tiny",
        widening(16, 12),
        (8, 8),
        batch=5,
        micro_batch=5,
        scratch_words=4 * 2048,
        size=8,
        way=Way.RECOMPUTE,
    )
    for name in (ONLY_FORWARD, LAST_BACKWARD, EVALUATE):
        words = trainer.lists[name]
        found = [decode(words[at : at + WORD_BYTES]) for at in range(0, len(words), WORD_BYTES)]
        moved = {(word.code, word.kind) for word in found if word.code in (Code.BRING, Code.STORE)}
        assert not moved & {(Code.BRING, Bring.SCRATCH), (Code.STORE, Store.SCRATCH)}, name


@pytest.mark.parametrize(("words", "waits"), [(4 * 2048, True), (FEW_WORDS, False)])
def test_sums_of_dw_wait_for_the_next_errors_where_they_have_room(words, waits):
    programs = compiled(
        preset("tiny"), network(widening(16, 12)), images=5, micro_batches=1, scratch_words=words
    )
    last, behind = None, False
    for word in programs.lists[LAST_BACKWARD].decoded():
        if word.code is Code.DRAIN and word.kind == Drain.GRADIENT:
            last = "sums"
        elif word.code is Code.APPLY and word.kind == Apply.ERROR and last:
            last = "errors"
        elif word.code is Code.FLOAT and word.a_space == Space.SUMS and last:
            behind, last = behind or last == "errors", None
    assert behind is waits


def test_y_comes_again_from_the_array_where_that_takes_fewer_cycles_than_memory():
    narrow = Product(preset("zc706"), tiles=512, groups=1, ksteps=1)
    assert narrow.spill_cycles == 3 * 512 * 16 * 64 // 16
    assert narrow.recompute_cycles == 512 * 64
    assert of_product(narrow, in_parts=True) is Way.RECOMPUTE
    wide = Product(preset("zc706"), tiles=32, groups=32, ksteps=32)
    assert of_product(wide, in_parts=False) is Way.SPILL
    assert of_product(wide, in_parts=False, forced=Way.RECOMPUTE) is Way.RECOMPUTE
    assert of_product(wide, in_parts=True, forced=Way.RECOMPUTE) is Way.SPILL


@pytest.mark.parametrize(("seed", "batch"), [(2, 4), (3, 8)])
def test_y_before_its_errors_keeps_the_bits_where_sums_of_dw_take_some_of_its_words(seed, batch):
    """Tensors of the last stage fill a bank each: y of the convolution before has the fourth."""
    trainer = same_weights(
        "tiny",
        widening(16, 16),
        (3, 6),
        batch=batch,
        micro_batch=4,
        scratch_words=FEW_WORDS,
        size=8,
        wrap=lambda machine: Interleaving(machine, seed),
    )
    layout = trainer.layout
    division = layout.division(layout.backward, layout.plans[4].output, 16)
    assert len(division.starts) == 4
    assert not layout.backward.gaps(division.taken, 1)
    words = trainer.lists[LAST_BACKWARD]
    found = [decode(words[at : at + WORD_BYTES]) for at in range(0, len(words), WORD_BYTES)]
    assert any(
        word.code is Code.STORE and word.kind == Store.SCRATCH and word.offset == layout.covered.offset
        for word in found
    )


@pytest.mark.parametrize(("seed", "words"), [(0, FEW_WORDS), (1, HALVES_WORDS)])
def test_parts_keep_their_bits_in_any_order_that_marks_allow(seed, words):
    same_weights(
        "tiny",
        widening(16, 12),
        (3, 6),
        batch=5,
        micro_batch=5,
        scratch_words=words,
        size=8,
        wrap=lambda machine: Interleaving(machine, seed),
    )


def test_bytes_of_images_without_room_come_in_bands_of_rows():
    stem, first = layer(0, "stem", (3, 8), 31, 2), layer(1, "first", (8, 8), 16, 2)
    tall = [
        replace(item, shape=replace(item.shape, height=height)) for item, height in ((stem, 64), (first, 32))
    ]
    blocks = tuple(Block(item.shape.name, (item,)) for item in tall)
    trainer = same_weights(
        "middle", blocks, (4, 8), batch=2, micro_batch=2, scratch_words=FEW_WORDS, size=(64, 31), channels=3
    )
    picture = trainer.layout.image_codes.layout.picture
    bands = list(trainer.layout.forward.bands(picture, 2, 1))
    assert [(part.image, part.tile, band.height) for part, band in bands] == [
        *((0, 0, 32), (0, 64, 32)),
        *((1, 0, 32), (1, 64, 32)),
    ]


def test_weights_without_room_in_the_buffers_come_group_by_group():
    """64 channels of tiny: 16 K steps, so that the A buffer holds one tile of rows."""
    trainer = same_weights(
        "tiny", widening(4, 64, size=6), (5, 7), batch=2, micro_batch=2, scratch_words=4 * 2048, size=6
    )
    layout = trainer.layout
    assert layout.most_groups(layout.plans[2].output, 64) == 1
    assert len(layout.subsets[2]) > 1
    assert {part.groups for part in layout.parts(layout.forward, layout.plans[2].output, 64, 1)} == {1}


def test_more_than_128_channels_train_on_the_zc706s_shape():
    """144 channels: weights in five pieces of local memory, planes of a K step at a time."""
    trainer = same_weights(
        "zc706", widening(16, 144, size=4), (8, 8), batch=2, micro_batch=2, scratch_words=4 * 2048, size=4
    )
    words = [
        decode(trainer.lists[PREPARE][at : at + WORD_BYTES])
        for at in range(0, len(trainer.lists[PREPARE]), WORD_BYTES)
    ]
    packed = [word for word in words if word.code is Code.STORE and word.all_ksteps]
    assert {word.all_ksteps for word in packed} == {9}
    assert {word.ksteps for word in packed} == {1}


def test_noise_of_part_of_a_tensor_is_that_of_the_whole():
    whole = noise_bytes(77, (5, 3, 6, 8))
    np.testing.assert_array_equal(noise_bytes(77, (2, 3, 6, 8), 3), whole[3:])
    assert noise_place(3, 2) == 3 | 2 << 9
    with pytest.raises(ContractError, match=r"image is 512; allowed: 0\.\.511"):
        noise_place(512, 0)


def test_an_image_without_room_is_refused_with_both_sizes():
    with pytest.raises(
        ContractError, match=r"8 channels of an image of 40 x 40 take 30720 bytes; allowed: 16384, a part"
    ):
        compiled(
            preset("middle"),
            network(
                tuple(
                    Block(name, (layer(number, name, (1 + 7 * number, 8), 40),))
                    for number, name in enumerate(("stem", "next"))
                )
            ),
            images=1,
            micro_batches=1,
            scratch_words=4 * 512,
        )
    with pytest.raises(ContractError, match="scratch has 1000 words; allowed: multiples of 1024"):
        compiled(preset("tiny"), network(widening(4, 4)), images=1, micro_batches=1, scratch_words=1000)


def test_what_instructions_and_buffers_do_not_hold_is_refused_with_both_numbers():
    def refused(name, blocks):
        compiled(preset(name), network(blocks), images=1, micro_batches=1, scratch_words=4 * 2048)

    with pytest.raises(ContractError, match=r"first has 1024 channels; allowed: 1016"):
        refused("z7020", widening(8, 1024, size=4))
    with pytest.raises(ContractError, match=r"first takes 17 K steps of 8 planes; allowed: 16"):
        refused("tiny", widening(4, 68, size=4))


def test_windows_that_the_fetch_needs_at_once_are_refused_by_the_widest_codes():
    """Of 12 groups, three slots of 12 words a plane; depth 256 holds 7 planes of them."""

    def planned(widest):
        blocks = widening(4, 48, size=8)
        return compiled(
            preset("tiny"),
            network(blocks),
            images=1,
            micro_batches=1,
            scratch_words=4 * 2048,
            widest=widest,
        )

    with pytest.raises(
        ContractError, match=r"dX of first: words of a slot are 96 at 8 bits; allowed: at most 85"
    ):
        planned(8)
    planned(7)


def test_parts_cover_a_tensor_once_and_take_turns():
    scratch = Scratch(preset("zc706"), 16384, 3)
    picture = Picture(preset("zc706"), 48, 48)
    division = scratch.division(2 * 8 * picture.tiles * 16, 0)
    parts = list(scratch.parts(division, picture, 2, 8, 4))
    covered = [
        (image, group)
        for part in parts
        for image in range(part.image, part.image + part.images)
        for group in range(part.group, part.group + part.groups)
    ]
    assert sorted(covered) == [(image, group) for image in range(2) for group in range(8)]
    first, second = division.slots
    assert {part.word for part in parts} == {0, first}
    assert all(one.word != other.word for one, other in itertools.pairwise(parts))
    assert all(part.images * part.groups * 96 * 16 <= min(first, second) for part in parts)
    alone = list(scratch.parts(division, Picture(preset("zc706"), 80, 80), 2, 8, 4))
    assert [(part.image, part.group, part.word) for part in alone[:3]] == [(0, 0, 0), (1, 0, 0), (0, 1, 0)]


def test_what_lives_longest_has_room_as_a_whole_where_two_banks_hold_it():
    scratch, image = Scratch(preset("zc706"), 16384, 3), 32 * 16
    sizes = [images * image for images in (4, 8, 10, 16, 32)]
    small, bank, third, halves, parts = (scratch.division(size, image) for size in sizes)
    assert (small.starts, bank.starts) == ((0, 4096, 14336, 6144), (0, 4096, 12288, 8192))
    assert (third.starts, third.whole) == ((0, 5376, 16384 - 5376), (True, True, True))
    mixed = replace(scratch, mixed=True)
    assert mixed.division(4 * image, image).starts == (0, 4096, 14336)
    assert mixed.division(10 * image, image) == third
    assert (halves.starts, halves.whole) == ((0, 4096, 8192), (False, False, True))
    assert parts.whole == (False, False, False)


def test_sums_of_dw_have_words_that_no_tensor_takes():
    scratch, image = Scratch(preset("zc706"), 16384, 3), 32 * 16
    taken = scratch.division(16 * image, image, 80).taken
    assert [region.stop - region.start for region in taken] == [7 * image, 7 * image, 16 * image]
    for words in (80, 128):
        found = scratch.gaps(taken, words)
        assert len(found) == (2 if words == 128 else 4)
        regions = [*taken, *(sums.region for sums in found)]
        assert all(sums.region.start == 4 * sums.word for sums in found)
        if words == 128:
            assert not any(a.meets(b) for a, b in itertools.combinations(regions, 2))
    assert not scratch.gaps(taken, 129)
    assert not scratch.gaps(scratch.division(16 * image, image).taken, 1)
    live = Region("scratch", 4096, 16384)
    assert scratch.gaps([live], 80)[0].region.stop == 4096
    assert not scratch.gaps([replace(live, start=0)], 80)
    assert scratch.first_sums(80).word == 0


def test_the_last_parts_fill_both_slots():
    scratch, image = Scratch(preset("zc706"), 16384, 3), 32 * 16
    division = scratch.division(16 * image, image, 80)
    parts = scratch.parts(division, Picture(preset("zc706"), 32, 32), 16, 1, 1)
    assert [(part.image, part.images, part.word) for part in parts] == [
        (0, 2, 4 * image),
        (2, 4, 0),
        (6, 3, 4 * image),
        (9, 4, 0),
        (13, 3, 4 * image),
    ]


def test_vectors_share_words_one_after_the_other_and_never_at_once():
    recorder = Recorder(preset("tiny"), 0, 64)
    v = Vectors(recorder)
    total = v.copy(number(0.0), count=10)
    for _ in range(20):
        total = v.add(total, v.copy(number(1.0), count=10))
    places = [word.to for word in recorder.program().decoded()]
    assert max(places) <= 54
    for before, one, after in zip(places[::2], places[1::2], places[2::2], strict=False):
        assert len({before, one, after}) == 3


def test_vectors_without_room_are_refused_with_both_numbers():
    recorder = Recorder(preset("tiny"), 0, 64)
    v = Vectors(recorder)
    v.add(v.copy(number(1.0), count=40), v.copy(number(2.0), count=30))
    with pytest.raises(
        ContractError, match=r"needs 30 words of local memory beside 40 of others; allowed: 64"
    ):
        recorder.program()


def test_resnet_20_compiles_for_the_zc706_with_sixteen_images():
    net = Network.residual(cifar_resnet(20), np.full(3, 0.05, np.float32), np.full(3, -0.7, np.float32))
    programs = compiled(preset("zc706"), net, images=16, micro_batches=8, scratch_words=4 * 4096)
    stage = programs.layout.blocks[1].main[0]
    assert programs.layout.spilled(programs.layout.backward, stage.output, 16)
    assert programs.layout.unit_words < LOCAL_WORDS
    sizes = {name: len(listing.decoded()) for name, listing in programs.lists.items()}
    assert all(1000 < size < 20_000 for size in sizes.values()), sizes
    for few in (False, True):
        assert sum(size for name, size in sizes.items() if name.endswith(OF_FEW) is few) < 60_000


def test_convolutions_of_a_block_may_be_many():
    """Three in a row: a bottleneck; the gradient that joins waits for all of them."""
    blocks = widening(4, 8)[:2]
    deep = (
        *blocks,
        type(blocks[0])(
            "bottleneck",
            (
                layer(4, "a", (8, 4), 4, kernel=1),
                layer(5, "b", (4, 4), 4),
                layer(6, "c", (4, 8), 4, kernel=1),
            ),
            identity=True,
        ),
    )
    same_weights("tiny", deep, (6, 8), batch=2, micro_batch=2, scratch_words=4 * 1024, size=8)


@pytest.mark.slow
def test_a_step_of_resnet_20_on_images_of_cifars_size_is_the_golden_one():
    """On zc706's shape with an eighth of its scratch: tensors of all stages in parts and whole."""
    arch, bits = cifar_resnet(20, CLASSES), (3, 8)
    affine = np.full(3, 0.05, np.float32), np.full(3, -0.7, np.float32)
    data = drawn(2, 32, 3)
    reference = golden(Network.residual(arch, *affine, 1), data, bits, 2)
    net = Network.residual(arch, *affine, 1)
    trainer, _ = fabric("zc706", net, 2, 2, 4 * 512, memory=1 << 26)
    trainer.train_step(*data[0], bits, RATE)
    trainer.fetch()
    assert net.weights_sha256() == reference.network.weights_sha256()
    layout = trainer.layout
    assert {
        layout.spilled(layout.backward, plan.output, plan.conv.out_channels) for plan in layout.plans
    } == {False, True}
