"""cpt.hw.matrix.compressors: cells that count the ones of two words, as data."""

from __future__ import annotations

import random
from collections import Counter

import pytest

from cpt.hw.contract import PRESETS, ContractError
from cpt.hw.contract.machine import COUNT_LATENCY_CYCLES, count_latency_cycles
from cpt.hw.matrix.compressors import ONE, PLANS, Netlist, Plan, add_chain, count_netlist, plan

SAMPLES = 512


@pytest.mark.parametrize("word_bits", [1, 2, 3, 8, 9, 10, 18, 35, 36, 48, 72, 73, 100, 143, 144])
def test_the_cells_count_the_ones_of_both_words(word_bits: int) -> None:
    rng = random.Random(word_bits)
    full = (1 << SAMPLES) - 1

    def samples() -> int:
        """One bit of a word in every sample; among them all ones, few zeros, few ones."""
        dense = rng.getrandbits(128) | rng.getrandbits(128) | rng.getrandbits(128)
        sparse = rng.getrandbits(128) & rng.getrandbits(128)
        return full << 480 & full | (dense | sparse << 128 | rng.getrandbits(224) << 256)

    values = [samples() for _ in range(2 * word_bits)]
    outputs = count_netlist(word_bits).evaluate(values, SAMPLES)
    assert len(outputs) == word_bits.bit_length()
    for sample in range(SAMPLES):
        a, b = ([value >> sample & 1 for value in part] for part in (values[:word_bits], values[word_bits:]))
        count = sum((bit >> sample & 1) << weight for weight, bit in enumerate(outputs))
        assert count == sum(x & y for x, y in zip(a, b, strict=True))


def test_the_planned_units_take_as_many_cells_as_the_plan_was_found_for() -> None:
    found = {}
    for item in PLANS:
        kinds = Counter(cell.kind for cell in count_netlist(item.word_bits).cells)
        through = sum(chain.count("1") for layer in item.layers for _, chain in layer)
        luts = kinds["LUT6"] + kinds["LUT6_2"] + through  # atom 1 passes its bit through a LUT
        found[item.word_bits] = (luts, kinds["FDRE"], kinds["CARRY4"])
    assert found == {9: (9, 6, 1), 18: (18, 20, 3), 36: (36, 53, 5), 72: (74, 86, 11), 144: (145, 169, 21)}


@pytest.mark.parametrize("item", PLANS, ids=lambda item: str(item.word_bits))
def test_every_bit_of_a_layer_is_read_by_one_chain_or_kept(item: Plan) -> None:
    """So that the sum of a layer's bits is that of the layer before it, if every chain adds rightly."""
    net = count_netlist(item.word_bits)
    driver = {signal: cell for cell in net.cells for signal in cell.outputs}
    chain: dict[int, int] = {}  # of a signal that a CARRY4 reads or drives: the first CARRY4 of its chain
    for number, cell in enumerate(net.cells):
        if cell.kind == "CARRY4":
            before = driver.get(cell.inputs[0])
            head = chain[cell.inputs[0]] if before and before.kind == "CARRY4" else number
            chain.update(dict.fromkeys((*cell.inputs, *cell.outputs), head))
    for signal in (out for cell in net.cells if cell.kind == "FDRE" for out in cell.outputs):
        readers = {
            ("chain", chain[cell.outputs[0]]) if cell.kind != "FDRE" else ("register", cell.outputs[0])
            for cell in net.cells
            if signal in cell.inputs
        }
        assert len(readers) + (signal in net.outputs) == 1


def test_the_latency_of_the_contract_is_that_of_the_plans() -> None:
    assert tuple((item.word_bits, 1 + len(item.layers)) for item in PLANS) == COUNT_LATENCY_CYCLES
    assert [count_latency_cycles(width) for width in (1, 9, 10, 36, 48, 144, 145)] == [2, 2, 3, 4, 4, 5, 6]
    for config in PRESETS.values():
        assert count_latency_cycles(config.word_bits) == 1 + len(plan(config.word_bits).layers)


@pytest.mark.parametrize("word_bits", [9, 36, 72, 144])
def test_at_most_one_lut_and_a_carry_chain_lie_between_registers(word_bits: int) -> None:
    net = count_netlist(word_bits)
    depth: dict[int, tuple[int, int]] = {}
    for cell in net.cells:
        luts, carries = map(max, zip(*(depth.get(signal, (0, 0)) for signal in cell.inputs), strict=True))
        if cell.kind == "FDRE":
            luts = carries = 0
        elif cell.kind == "CARRY4":
            carries += 1
        else:
            assert carries == 0, "a LUT behind a carry"
            luts += 1
        depth.update(dict.fromkeys(cell.outputs, (luts, carries)))
        assert luts <= 1
        assert carries <= 2


@pytest.mark.parametrize("word_bits", [36, 72, 144])
def test_an_operand_bit_drives_two_luts_and_a_register_no_more(word_bits: int) -> None:
    loads = Counter(signal for cell in count_netlist(word_bits).cells for signal in cell.inputs)
    assert max(count for signal, count in loads.items() if signal > ONE) == 2


@pytest.mark.parametrize("atoms", ["6", "c6", "4", "c4", "2", "c2", "1", "c1", "c66", "c264", "c42221"])
def test_a_chain_gives_the_sum_of_its_bits_for_every_input(atoms: str) -> None:
    sizes = {place: 0 for place in range(12)}
    place = 0
    sizes[0] += atoms.startswith("c")
    for atom in atoms.removeprefix("c"):
        sizes[place] += int(atom)
        if atom == "4":
            sizes[place + 1] += 1
        place += 2 if atom in "64" else 1
    total = sum(sizes.values())
    net = Netlist(total)
    free = iter(range(2, 2 + total))
    columns = [[next(free) for _ in range(size)] for size in sizes.values()]
    weights = [place for place, size in sizes.items() for _ in range(size)]
    given = add_chain(net, columns, 0, atoms)
    assert not any(columns)
    net.outputs = [bit for bits in given.values() for bit in bits]
    samples = 1 << total
    # sample n has bit i of n on input i
    values = [sum(1 << n for n in range(samples) if n >> i & 1) for i in range(total)]
    outputs = net.evaluate(values, samples)
    for n in range(samples):
        want = sum((n >> i & 1) << weight for i, weight in enumerate(weights))
        got = sum((bit >> n & 1) << weight for bit, weight in zip(outputs, given, strict=True))
        assert got == want


def test_a_word_beyond_the_widest_plan_is_refused() -> None:
    with pytest.raises(ContractError, match="word_bits is 145; allowed: 1 to 144"):
        plan(145)
