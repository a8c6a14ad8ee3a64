"""Pages show what the commands print, and link to what is there."""

import re
from xml.etree import ElementTree

import pytest
from documented import PAGES, ROOT, matches, printed, shown, update

BLOCKS = [item for page in PAGES for item in shown(page)]


def test_pages_show_output():
    assert len(BLOCKS) >= 4


@pytest.mark.parametrize("item", BLOCKS, ids=str)
def test_the_shown_output_is_what_is_printed(item):
    """`make docs` brings the blocks up to date."""
    output = printed(item.command)
    assert matches(item.text, output), f"{item.page} shows\n{item.text}\nprinted is\n{output}"


@pytest.mark.parametrize(
    ("text", "output", "same"),
    [
        ("a\nb", "a\nb\n", True),
        ("a  \nb", "a\nb  \n", True),
        ("a 1", "a 2", False),
        ("a ... c", "a 17 c", True),
        ("a ... c", "a 17 d", False),
        ("a\n...\nd", "a\nb\nc\nd", True),
        ("a\n...\nd", "a\nd", True),
        ("a\n...", "b\nc", False),
    ],
)
def test_dots_stand_for_any_text(text, output, same):
    assert matches(text, output) == same


def test_a_stale_block_is_rewritten_and_a_current_one_left_alone(tmp_path):
    page = tmp_path / "page.md"
    fresh = printed("cpt bits --total 8 --cycles 2")
    kept = "<!-- output of: cpt bits --total 8 --cycles 2 -->\n```\n...\n```\n"
    page.write_text(
        f"Before.\n{kept}<!-- output of: cpt bits --total 8 --cycles 2 --start 0 -->\n```\nold\n```\nAfter.\n"
    )
    assert update(page) == ["cpt bits --total 8 --cycles 2 --start 0"]
    assert page.read_text().startswith(f"Before.\n{kept}")
    assert fresh.splitlines()[0] in page.read_text()
    assert page.read_text().endswith("\n```\nAfter.\n")


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.name)
def test_links_between_pages_lead_somewhere(page):
    text = re.sub(r"```.*?```", "", page.read_text(encoding="utf-8"), flags=re.DOTALL)
    for target in re.findall(r"\]\(([^)\s]+)\)", text):
        if not re.match(r"[a-z]+:", target):
            place, _, anchor = target.partition("#")
            found = page.parent / place if place else page
            assert found.exists(), f"{page.name} links to {target}"
            if anchor:
                headings = re.findall(r"^#+ (.*)$", found.read_text(encoding="utf-8"), re.MULTILINE)
                assert anchor in {
                    re.sub(r"[^\w\- ]", "", item.lower()).replace(" ", "-") for item in headings
                }


def test_every_command_and_verb_of_the_readme_is_one():
    """Commands in backquotes, and verbs after ``make``."""
    from cpt.main import COMMANDS

    for page in PAGES:
        text = page.read_text(encoding="utf-8")
        assert set(re.findall(r"`cpt ([a-z][\w-]*)", text)) <= set(COMMANDS), page.name
        verbs = set(re.findall(r"`make ([a-z][\w-]*)", text))
        known = set(re.findall(r"^([a-z-]+):", (ROOT / "Makefile").read_text(encoding="utf-8"), re.MULTILINE))
        assert verbs <= known, page.name


def test_the_picture_is_an_image_whose_files_exist():
    picture = ElementTree.parse(ROOT / "docs" / "step.svg")
    named = [
        item.text for item in picture.iter("{http://www.w3.org/2000/svg}text") if item.get("class") == "file"
    ]
    assert len(named) > 8
    for names in named:
        for name in names.split(", "):
            assert (ROOT / name).exists(), name


@pytest.mark.slow
def test_a_training_run_ends_with_the_lines_that_the_readme_shows(tmp_path):
    """A short run on a small array: other numbers, the same lines in the same order."""
    readme = (ROOT / "README.md").read_text(encoding="utf-8")
    block = readme.partition("<!-- shape of: make train -->\n```")[2].partition("```")[0]
    short = "--preset tiny --width 4 --steps 3 --batch-size 16 --compare --check-rtl"
    output = printed(f"cpt train {short} --out {tmp_path}")
    starts = [line.split()[0] for line in output.splitlines() if line[:1].isalpha()]
    assert {"resnet8", "run", "cpt", "static", "difference", "RTL", "weights", "files:"} <= set(starts)
    assert starts == [line.split()[0] for line in block.splitlines() if line[:1].isalpha()]
