"""Timelines as files: events as Chrome's tracing has them, a page of its own, a picture."""

from __future__ import annotations

import json
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

from cpt.hw.contract import ContractError
from cpt.sim.step.trace import BUSY, NONE, STATES, UNDER_WAY, Span
from cpt.trace_colours import of_labels, of_waits
from cpt.trace_lists import Traced

MOST_SPANS = 200_000
"""Of a list, before instructions of the longest tracks are shown in short."""
MOST_BYTES = 5_000_000
"""Of a page."""
TEMPLATE = Path(__file__).with_name("trace.html")
MARK = "/*DATA*/"


def fitted(lists: Sequence[Traced], about: dict[str, Any]) -> tuple[list[Traced], bytes]:
    """Lists, in short where they are too long for a page, and the page."""
    found = [one.in_short(MOST_SPANS) for one in lists]
    made = page(found, about)
    if len(made) > MOST_BYTES:
        found = [one.in_short(0) for one in lists]
        made = page(found, about)
    if len(made) > MOST_BYTES:
        raise ContractError(f"page has {len(made):,} bytes; allowed: {MOST_BYTES:,}, so fewer lists at once")
    return found, made


def events(lists: Sequence[Traced], about: dict[str, Any]) -> bytes:
    """JSON for ui.perfetto.dev: a process for each list, a thread for each engine, complete events."""
    clock = float(about["clock_mhz"])
    found = [event for number, one in enumerate(lists, 1) for event in _metadata(number, one)]
    timed = [event for number, one in enumerate(lists, 1) for event in _events(number, one, clock)]
    timed.sort(key=lambda event: event["ts"])
    about = {**about, "timestamps": f"microseconds at {clock:g} MHz from the list's RUN"}
    lines = ",\n".join(json.dumps(event, separators=(",", ":")) for event in (*found, *timed))
    head = json.dumps({"displayTimeUnit": "ns", "otherData": about})
    return f'{head[:-1]}, "traceEvents": [\n{lines}\n]}}\n'.encode()


def _metadata(process: int, traced: Traced) -> Iterator[dict[str, Any]]:
    def named(kind: str, thread: int, **values: Any) -> dict[str, Any]:
        return {"name": kind, "ph": "M", "pid": process, "tid": thread, "args": values}

    yield named("process_name", 0, name=f"{traced.name}: {traced.cycles} cycles")
    for thread, track in enumerate(traced.tracks, 1):
        yield named("thread_name", thread, name=track.name)
        yield named("thread_sort_index", thread, sort_index=thread)


def _events(process: int, traced: Traced, clock: float) -> Iterator[dict[str, Any]]:
    for thread, track in enumerate(traced.tracks, 1):
        for span in track.spans:
            yield {
                "name": _title(traced, span),
                "cat": "wait" if span.what not in STATES else span.what,
                "ph": "X",
                "ts": round(span.begin / clock, 6),
                "dur": round((span.end - span.begin) / clock, 6),
                "pid": process,
                "tid": thread,
                "args": _arguments(traced, track.name, span),
            }
    for number, share in enumerate(traced.memory):
        at = number * traced.cycles / len(traced.memory)
        yield {
            "name": "memory, percent",
            "ph": "C",
            "ts": round(at / clock, 6),
            "pid": process,
            "tid": 0,
            "args": {"moved": round(100 * share, 1)},
        }


def _title(traced: Traced, span: Span) -> str:
    if span.what in (BUSY, UNDER_WAY):
        label = traced.labels[span.number]
        return f"{label.layer} {label.which}"
    return span.what if span.what in STATES else f"waiting for {span.what}"


def _arguments(traced: Traced, track: str, span: Span) -> dict[str, Any]:
    found: dict[str, Any] = {"cycles": span.end - span.begin}
    if span.number != NONE:
        label = traced.labels[span.number]
        found |= {"layer": label.layer, "pass": label.which, "instruction": label.called}
        found |= {
            "number": span.number,
            "bits": label.bits,
            "waits": traced.waits.get((track, span.number), {}),
        }
    return found


def page(lists: Sequence[Traced], about: dict[str, Any]) -> bytes:
    """A page of HTML that needs nothing else."""
    data = {"about": about, "waits": of_waits(), "lists": [_packed(one) for one in lists]}
    text = json.dumps(data, separators=(",", ":")).replace("</", "<\\/")
    return TEMPLATE.read_text(encoding="utf-8").replace(MARK, text).encode()


def _packed(traced: Traced) -> dict[str, Any]:
    """A list with names once each: spans are length, what, and instruction less the one before."""
    whats = list(dict.fromkeys(span.what for track in traced.tracks for span in track.spans))
    parts = list(dict.fromkeys((label.layer, label.which) for label in traced.labels))
    texts = list(dict.fromkeys(text for label in traced.labels for text in (label.called, label.bits)))
    colours = of_labels(parts)
    places = {part: place for place, part in enumerate(parts)}
    words = {text: place for place, text in enumerate(texts)}
    codes = {what: place for place, what in enumerate(whats)}
    tracks = []
    for track in traced.tracks:
        spans, before = [], 0
        for span in track.spans:
            spans += [span.end - span.begin, codes[span.what], span.number - before]
            before = span.number
        tracks.append({"name": track.name, "spans": spans})
    return {
        "name": traced.name,
        "cycles": traced.cycles,
        "coarse": traced.coarse,
        "whats": whats,
        "parts": [[*part, colours[part]] for part in parts],
        "texts": texts,
        "instructions": [
            [places[label.layer, label.which], words[label.called], words[label.bits]]
            for label in traced.labels
        ],
        "memory": traced.memory,
        "tracks": tracks,
    }


Shape = tuple[str, int]
WIDTH, LEFT, LANE, GAP = 960, 70, 18, 4
"""Of the picture, in pixels."""


def picture(lists: Sequence[Traced], about: dict[str, Any]) -> bytes:
    """All lists, one below the other, as SVG; of each column of pixels what most of its cycles are."""
    parts = list(dict.fromkeys((label.layer, label.which) for one in lists for label in one.labels))
    colours = of_labels(parts)
    lines, top = [], 0
    for one in lists:
        text = f"{one.name}: {one.cycles:,} cycles, {one.cycles / float(about['clock_mhz']):,.1f} µs"
        lines.append(f'<text x="{LEFT}" y="{top + 14}" class="title">{text}</text>')
        top += 22
        for track in one.tracks:
            lines.append(f'<text x="{LEFT - 6}" y="{top + 13}" text-anchor="end">{track.name}</text>')
            shapes = [_shape(one, span, colours) for span in track.spans]
            for begin, end, (colour, low) in columns(track.spans, shapes, one.cycles, WIDTH - LEFT):
                lines.append(
                    f'<rect x="{LEFT + begin}" y="{top + low}" width="{end - begin}" '
                    f'height="{LANE - low}" fill="{colour}"/>'
                )
            top += LANE + GAP
        top += 8
    legend = (
        "high: at work, a hue for each layer and a shade for each pass; "
        "low: waiting, pale, a hue for whom; grey: own latency; empty: done"
    )
    lines.append(f'<text x="{LEFT}" y="{top + 8}">{legend}</text>')
    head = (
        f'<svg xmlns="http://www.w3.org/2000/svg" width="{WIDTH}" height="{top + 18}" '
        f'viewBox="0 0 {WIDTH} {top + 18}" font-family="sans-serif" font-size="11">\n'
        "<style>.title { font-weight: bold; font-size: 13px }</style>\n"
        f'<rect width="{WIDTH}" height="{top + 18}" fill="white"/>\n'
    )
    return (head + "\n".join(lines) + "\n</svg>\n").encode()


def _shape(traced: Traced, span: Span, colours: dict[tuple[str, str], str]) -> Shape:
    """Colour of a span, and by how much it is lower than a lane."""
    if span.what in (BUSY, UNDER_WAY):
        label = traced.labels[span.number]
        return colours[label.layer, label.which], 0
    return of_waits().get(span.what, "none"), LANE * 2 // 3


def columns(
    spans: Sequence[Span], shapes: Sequence[Shape], cycles: int, width: int
) -> Iterator[tuple[int, int, Shape]]:
    """First column, the one behind the last, and the shape of what most cycles there are."""
    first, at, before = 0, 0, None
    for column in range(width):
        begin, end = column * cycles // width, (column + 1) * cycles // width
        most, best = -1, at
        while at < len(spans):
            shared = min(spans[at].end, end) - max(spans[at].begin, begin)
            if shared > most:
                most, best = shared, at
            if spans[at].end > end:
                break
            at += 1
        shape = shapes[min(best, len(shapes) - 1)]
        if before is not None and shape != before:
            yield first, column, before
            first = column
        before = shape
    if before is not None:
        yield first, width, before
