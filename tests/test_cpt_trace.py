"""``cpt trace``: events, page and picture of a list, all with the same cycles."""

from __future__ import annotations

import json
import re
import shutil
import subprocess
from pathlib import Path
from typing import Any
from xml.etree import ElementTree

import pytest

from cpt import trace_files
from cpt.main import main
from cpt.trace import FILES

ROOT = Path(__file__).parent.parent
SMALL = ["trace", "--preset", "tiny", "--width", "4", "--size", "8", "--micro-batch", "2", "--quiet"]
LISTS = ["first forward", "backward"]


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """What the command writes of two lists."""
    made = tmp_path_factory.mktemp("trace")
    assert main([*SMALL, "--fw", "3", "--list", *LISTS, "--out", str(made)]) == 0
    return made


def data_of(page: str) -> dict[str, Any]:
    """What the page draws."""
    (text,) = re.findall(r'<script type="application/json" id="data">(.*?)</script>', page, re.DOTALL)
    found: dict[str, Any] = json.loads(text)
    return found


def sums_of(one: dict[str, Any]) -> dict[str, dict[str, int]]:
    """Cycles of each engine of a list of the page, by what they are."""
    found: dict[str, dict[str, int]] = {}
    for track in one["tracks"]:
        sums = found.setdefault(track["name"], {})
        for length, what in zip(track["spans"][::3], track["spans"][1::3], strict=True):
            sums[one["whats"][what]] = sums.get(one["whats"][what], 0) + length
    return found


def test_events_are_those_that_perfetto_reads(folder: Path) -> None:
    found = json.loads((folder / "trace.json").read_text())
    clock = found["otherData"]["clock_mhz"]
    assert "microseconds at 200 MHz" in found["otherData"]["timestamps"]
    events = found["traceEvents"]
    assert {event["ph"] for event in events} == {"M", "X", "C"}
    named = [event for event in events if event["name"] == "thread_name"]
    assert [event["args"]["name"] for event in named[: len(named) // 2]] == [
        *("program", "LOAD", "FETCH", "EXEC", "DRAIN", "APPLY", "BRING", "STORE", "FLOAT")
    ]
    complete = [event for event in events if event["ph"] == "X"]
    assert [event["ts"] for event in complete] == sorted(event["ts"] for event in complete)
    for event in complete:
        assert {"name", "cat", "ts", "dur", "pid", "tid", "args"} <= set(event)
        assert event["dur"] * clock == pytest.approx(event["args"]["cycles"])
        if event["cat"] != "idle":
            assert {"layer", "pass", "instruction", "bits", "waits"} <= set(event["args"])
    assert {event["args"].get("pass") for event in complete} >= {"forward", "dX", "dW", "all"}


def test_events_of_each_engine_add_up_to_the_list(folder: Path) -> None:
    found = json.loads((folder / "trace.json").read_text())
    events, clock = found["traceEvents"], found["otherData"]["clock_mhz"]
    lists = data_of((folder / "trace.html").read_text())["lists"]
    for process, one in enumerate(lists, 1):
        for thread in range(1, len(one["tracks"]) + 1):
            mine = [e for e in events if (e["ph"], e["pid"], e["tid"]) == ("X", process, thread)]
            assert sum(event["args"]["cycles"] for event in mine) == one["cycles"]
            ends = [round(clock * (event["ts"] + event["dur"])) for event in mine]
            assert [round(clock * event["ts"]) for event in mine] == [0, *ends[:-1]]


def test_the_page_is_small_needs_no_network_and_has_the_same_cycles(
    folder: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    page = (folder / "trace.html").read_text(encoding="utf-8")
    assert len(page.encode()) <= trace_files.MOST_BYTES
    assert not re.search(r"http|//\w+\.\w|<link|src=|@import|url\(", page)
    data = data_of(page)
    assert [one["name"] for one in data["lists"]] == LISTS
    assert main([*SMALL, "--fw", "3", "--list", *LISTS, "--out", str(folder), "--json"]) == 0
    printed = json.loads(capsys.readouterr().out)["lists"]
    for one, row in zip(data["lists"], printed, strict=True):
        assert sums_of(one) == row["engines"]
        assert {sum(sums.values()) for sums in row["engines"].values()} == {one["cycles"]} == {row["cycles"]}
        assert len(one["instructions"]) > 500
        assert max(one["memory"]) > 0


@pytest.mark.skipif(not shutil.which("node"), reason="node runs the page's script, where it is installed")
def test_the_script_of_the_page_fills_table_and_hover(folder: Path) -> None:
    words = ["node", str(ROOT / "tests" / "trace_page.js"), str(folder / "trace.html")]
    done = subprocess.run(words, capture_output=True, text=True, timeout=60)
    assert done.returncode == 0, done.stderr
    shown = json.loads(done.stdout)
    (one, _) = data_of((folder / "trace.html").read_text())["lists"]
    assert one["name"] in shown["title"]
    header, *rows = shown["table"]
    assert [row[0] for row in rows] == [track["name"] for track in one["tracks"]]
    assert header[-1] == "total"
    for row in rows:
        cycles = [int(cell.replace(",", "")) for cell in row[1:] if cell]
        assert sum(cycles[:-1]) == cycles[-1] == one["cycles"]
    assert shown["drawn"] > 100
    assert any(" bits (instruction " in text and " cycles, " in text for text in shown["hover"])
    assert shown["zoomed"][1] - shown["zoomed"][0] < one["cycles"] / 4
    assert shown["whole"] == [0, one["cycles"]]


def test_the_picture_has_a_lane_for_each_engine(folder: Path) -> None:
    picture = ElementTree.parse(folder / "trace.svg").getroot()
    texts = [item.text or "" for item in picture.iter("{http://www.w3.org/2000/svg}text")]
    assert texts.count("EXEC") == len(LISTS)
    lanes: dict[str, list[tuple[int, int]]] = {}
    for item in list(picture.iter("{http://www.w3.org/2000/svg}rect"))[1:]:
        bottom = str(int(item.attrib["y"]) + int(item.attrib["height"]))
        begin = int(item.attrib["x"])
        lanes.setdefault(bottom, []).append((begin, begin + int(item.attrib["width"])))
    assert len(lanes) == 9 * len(LISTS)
    for spans in lanes.values():
        assert [begin for begin, _ in spans] == [trace_files.LEFT, *(end for _, end in spans[:-1])]
        assert spans[-1][1] == trace_files.WIDTH


def test_a_list_that_is_too_long_is_shown_in_short(
    folder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(trace_files, "MOST_SPANS", 100)
    assert main([*SMALL, "--fw", "3", "--list", *LISTS, "--out", str(tmp_path)]) == 0
    assert "work is shown first" in " ".join(capsys.readouterr().out.split())
    whole, short = (data_of((place / "trace.html").read_text())["lists"] for place in (folder, tmp_path))
    for one, other in zip(whole, short, strict=True):
        assert other["coarse"]
        assert not one["coarse"]
        assert sums_of(one) == sums_of(other)
        assert sum(len(t["spans"]) for t in other["tracks"]) < sum(len(t["spans"]) for t in one["tracks"])


def test_the_longest_tracks_are_the_first_to_be_shown_in_short(
    folder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (whole, _) = data_of((folder / "trace.html").read_text())["lists"]
    lengths = {track["name"]: len(track["spans"]) // 3 for track in whole["tracks"]}
    monkeypatch.setattr(trace_files, "MOST_SPANS", sum(lengths.values()) - 1)
    assert main([*SMALL, "--fw", "3", "--list", LISTS[0], "--out", str(tmp_path)]) == 0
    (short,) = data_of((tmp_path / "trace.html").read_text())["lists"]
    (coarse,) = short["coarse"]
    after = {track["name"]: len(track["spans"]) // 3 for track in short["tracks"]}
    assert {name for name in lengths if lengths[name] != after[name]} == {coarse}
    # FLOAT and the program have a span or two an instruction, which cannot be fewer.
    assert lengths[coarse] == max(lengths[name] for name in lengths if name not in ("FLOAT", "program"))


def test_a_page_that_stays_too_large_is_refused_and_nothing_is_written(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(trace_files, "MOST_BYTES", 1000)
    assert main([*SMALL, "--list", "prepare", "--out", str(tmp_path / "out")]) == 2
    assert re.fullmatch(
        r"cpt trace: page has [\d,]+ bytes; allowed: 1,000, so fewer .*\n", capsys.readouterr().err
    )
    assert not list(tmp_path.iterdir())


def test_the_plainest_lists_are_drawn_unless_others_are_asked_for(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    for batch, names in (("6", ["forward", "backward"]), ("2", ["only forward", "last backward"])):
        assert main([*SMALL, "--batch", batch, "--out", str(tmp_path), "--json"]) == 0
        found = json.loads(capsys.readouterr().out)
        assert [one["list"] for one in found["lists"]] == names
        assert sorted(path.name for path in tmp_path.iterdir()) == sorted(FILES)


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (["--list", "sideways"], "list is 'sideways'; allowed: prepare, evaluate, first forward, "),
        (["--device", "board"], "device is 'board'; allowed: model, rtl"),
        (["--device", "rtl", "--list", "evaluate"], "list is 'evaluate'; allowed: first forward, "),
        (["--size", "3"], "size is 3; allowed: 4..256"),
        (["--fw", "17"], "fw is 17 bits; allowed: 1..16"),
        (["--batch", "3"], "micro-batch is 2; allowed: a divisor of batch-size (3)"),
        (["--memory", "sram"], "memory model is 'sram'; allowed: ideal, ps-ddr, ps-ddr-low, pl-ddr"),
    ],
)
def test_what_there_is_not_is_refused(
    words: list[str], message: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main([*SMALL, "--out", str(tmp_path), *words]) == 2
    error = capsys.readouterr().err
    assert error.startswith(f"cpt trace: {message}")
    assert error.count("\n") == 1
    assert not list(tmp_path.iterdir())


def test_the_pages_picture_is_of_the_lists_that_the_page_shows() -> None:
    """`make docs` draws it anew."""
    picture = (ROOT / "docs" / "timeline.svg").read_text(encoding="utf-8")
    (headline,) = re.findall(r'class="title">(.*?)</text>', picture)
    assert headline in (ROOT / "docs" / "timeline.md").read_text(encoding="utf-8")


@pytest.mark.timeout(1800)  # the RTL may have to be built first
def test_the_compiled_rtl_is_drawn_like_the_model(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    found = {}
    for device in ("model", "rtl"):
        words = ["--device", device, "--batch", "1", "--micro-batch", "1", "--out", str(tmp_path)]
        assert main([*SMALL, *words, "--list", "only forward", "--json"]) == 0
        (found[device],) = json.loads(capsys.readouterr().out)["lists"]
    rtl, model = found["rtl"], found["model"]
    assert rtl["cycles"] == pytest.approx(model["cycles"], rel=0.02)
    for name, sums in rtl["engines"].items():
        assert sum(sums.values()) == rtl["cycles"]
        assert sums.get("idle", 0) == pytest.approx(model["engines"][name].get("idle", 0), abs=1500)
    for name in ("program", "STORE", "FLOAT"):
        most = [max(one["engines"][name], key=one["engines"][name].get) for one in (rtl, model)]
        assert most[0].replace("under way", "busy") == most[1]
