#!/usr/bin/env python3
"""Draw the comparison of the README: CPU time for a second of sound, ours and the others'.

python benchmarks/loops.py --yamnet yamnet.tflite --json > loops.json
python benchmarks/front_ends.py --json > front_ends.json
python benchmarks/chart.py loops.json front_ends.json docs/performance.svg
"""

from __future__ import annotations

import argparse
import json
from pathlib import Path
from xml.sax.saxutils import escape

WIDTH, LEFT, RIGHT, ROW, BAR = 760, 290, 90, 26, 16
OURS, OTHERS = "#3b8eea", "#9aa0a6"


def rows_of(loops: Path, front_ends: Path) -> list[tuple[str, list[tuple[str, float, bool]]]]:
    """Groups of bars: title, and (name, milliseconds, is it ours) each."""
    whole = [
        (name, row["ms_per_audio_s"], name == "esc-listen")
        for name, row in json.loads(loops.read_text()).items()
    ]
    features: list[tuple[str, float, bool]] = []
    for name, row in json.loads(front_ends.read_text()).items():
        features.append((name, row["peer_ms_per_audio_s"], False))
        features.append(("    ours, same parameters", row["ours_ms_per_audio_s"], True))
    return [
        ("Whole pipeline, CPU milliseconds for a second of sound, a look every 0.5 s", whole),
        ("Front end alone, in chunks of 100 ms", features),
    ]


def draw(groups: list[tuple[str, list[tuple[str, float, bool]]]]) -> str:
    """The chart as SVG; text takes the colour of the page, light or dark."""
    parts: list[str] = []
    y = 24
    for title, bars in groups:
        parts.append(f'<text x="8" y="{y}" class="title">{escape(title)}</text>')
        y += 12
        longest = max(ms for _, ms, _ in bars)
        for name, ms, is_ours in bars:
            width = max(1.0, ms / longest * (WIDTH - LEFT - RIGHT))
            base = y + BAR - 3
            parts.append(f'<text x="{LEFT - 8}" y="{base}" text-anchor="end">{escape(name)}</text>')
            colour = OURS if is_ours else OTHERS
            parts.append(
                f'<rect x="{LEFT}" y="{y}" width="{width:.1f}" height="{BAR}" rx="2" fill="{colour}"/>'
            )
            parts.append(f'<text x="{LEFT + width + 6:.1f}" y="{base}">{ms:.2f} ms</text>')
            y += ROW
        y += 28
    style = (
        "text{font:13px system-ui,sans-serif;fill:#24292f}.title{font-weight:600}"
        "@media(prefers-color-scheme:dark){text{fill:#e6edf3}}"
    )
    return (
        f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {WIDTH} {y - 20}" role="img">'
        f"<title>CPU time of esc-listen and others</title><style>{style}</style>{''.join(parts)}</svg>\n"
    )


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawTextHelpFormatter)
    parser.add_argument("loops", type=Path)
    parser.add_argument("front_ends", type=Path)
    parser.add_argument("out", type=Path)
    options = parser.parse_args()
    options.out.write_text(draw(rows_of(options.loops, options.front_ends)), encoding="utf-8")


if __name__ == "__main__":
    main()
