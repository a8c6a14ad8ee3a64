"""Generated pages are current, and the sample handoff says what the contract says."""

import dataclasses
import re
from pathlib import Path

import pytest
from pynq.metadata.runtime_metadata_parser import RuntimeMetadataParser
from pynqmetadata.frontends import Metadata

from cpt.hw.contract import MACHINE, REGISTERS, ArrayConfig, config, machine, preset
from cpt.hw.contract.handoff import IP_NAME, REGISTER_BASE, VLNVS, clock_divisor, hwh
from cpt.hw.contract.render import PAGES, main

DOCS = Path(__file__).parent.parent / "docs"


@pytest.mark.parametrize("name", sorted(PAGES))
def test_generated_pages_are_current(name):
    committed = (DOCS / name).read_text(encoding="utf-8")
    assert committed == PAGES[name](), f"docs/{name} is stale: run python -m cpt.hw.contract.render"


def test_rendering_writes_every_page(tmp_path):
    main([str(tmp_path / "pages")])
    assert {item.name for item in (tmp_path / "pages").iterdir()} == set(PAGES)


def test_the_machine_page_quotes_every_fact_as_it_is():
    page = (DOCS / "machine.md").read_text(encoding="utf-8")
    quoted = re.findall(r"`(\w{3,}) = (\d+)`", page)
    known = {**vars(config), **vars(machine), **dataclasses.asdict(MACHINE)}
    assert {name: int(value) for name, value in quoted} == {name: known[name] for name, _ in quoted}
    assert {item.name for item in dataclasses.fields(MACHINE)} <= {name for name, _ in quoted}


@pytest.fixture
def parsed(tmp_path):
    path = tmp_path / "design.hwh"
    path.write_text(hwh(preset("zc706")), encoding="utf-8")
    return RuntimeMetadataParser(Metadata(input=path))


def test_pynq_reads_every_register_from_the_handoff(parsed):
    found = parsed.ip_dict[IP_NAME]["registers"]
    assert {name: item["address_offset"] for name, item in found.items()} == {
        item.name: item.offset for item in REGISTERS
    }
    for item in REGISTERS:
        fields = {
            name: (part["bit_offset"], part["bit_width"]) for name, part in found[item.name]["fields"].items()
        }
        assert fields == {part.name: (part.offset, part.width) for part in item.fields}
        assert found[item.name]["size"] == 32


def test_pynq_reads_address_clock_and_identity_from_the_handoff(parsed):
    entry = parsed.ip_dict[IP_NAME]
    assert (entry["phys_addr"], entry["addr_range"]) == (REGISTER_BASE, 4096)
    assert entry["type"] == VLNVS[0]
    assert parsed.clock_dict[0] == {"enable": 1, "divisor0": 5, "divisor1": 1}
    assert entry["parameters"]["C_ROWS"] == "16"


def test_the_interrupt_line_reaches_the_processor(parsed):
    line = parsed.md.blocks[IP_NAME].ports["irq"].sig()
    (target,) = line._connections.values()
    assert target.name == "IRQ_F2P"


@pytest.mark.parametrize(("clock_mhz", "divisor"), [(200.0, 5), (100.0, 10), (1.0, 63), (5000.0, 1)])
def test_clock_divisors_stay_in_range(clock_mhz, divisor):
    assert clock_divisor(ArrayConfig("any", 4, 36, 8, 256, 256, clock_mhz).clock_mhz) == divisor
