#!/usr/bin/env python3
"""Draw what others cost beside esc-listen, from a run of the other benchmarks.

    python benchmarks/chart.py --yamnet yamnet.tflite --out docs/performance.svg

Needs the extra train (matplotlib), and the peers that shall be in the picture.
"""

from __future__ import annotations

import argparse
import importlib.util
import json
import subprocess
import sys
from pathlib import Path

from trainer.report.colours import BLUE, INK, MUTED, ORANGE
from trainer.report.picture import drawing, standalone, to_svg

HERE = Path(__file__).parent


def measured(script: str, *options: str) -> dict[str, dict[str, float]]:
    """What a benchmark prints as JSON."""
    command = [sys.executable, str(HERE / script), "--json", *options]
    done = subprocess.run(command, stdout=subprocess.PIPE, text=True, check=True)
    found: dict[str, dict[str, float]] = json.loads(done.stdout)
    return found


def chart(titles: dict[str, dict[str, float]]) -> str:
    """Bars as long as the cost of each peer, in multiples of ours, as an SVG file.

    Args:
        titles: title of each group to its peers and how much more than ours they cost.
    """
    bars = sum(len(group) for group in titles.values())
    with drawing(640, 26 * bars + 44 * len(titles)) as figure:
        heights = [len(group) + 0.6 for group in titles.values()]
        panels = figure.subplots(len(titles), 1, height_ratios=heights, sharex=True, squeeze=False)[:, 0]
        longest = max(max(group.values()) for group in titles.values())
        for panel, (title, group) in zip(panels, titles.items(), strict=True):
            names = sorted(group, key=group.__getitem__)
            costs = [group[name] for name in names]
            panel.barh(names, costs, height=0.62, color=[BLUE if cost >= 1 else ORANGE for cost in costs])
            for at, cost in enumerate(costs):
                panel.text(cost + longest / 100, at, f"{cost:.1f} x", va="center", color=INK, fontsize=9.5)
            panel.axvline(1.0, color=INK, linewidth=1.0)
            panel.set_title(title)
            panel.set_xlim(0, longest * 1.1)
            panel.grid(axis="y", visible=False)
            panel.tick_params(axis="y", length=0, labelcolor=INK)
        panels[-1].set_xlabel("processor time for a second of sound; the line is esc-listen", color=MUTED)
        words = "; ".join(f"{name} {cost:.1f}" for group in titles.values() for name, cost in group.items())
        return standalone(to_svg(figure, "performance", f"Cost in multiples of esc-listen: {words}"))


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawTextHelpFormatter)
    parser.add_argument("--yamnet", required=True, help="YAMNet as a .tflite")
    parser.add_argument("--out", type=Path, required=True)
    options = parser.parse_args()
    front_ends = measured("front_ends.py")
    mediapipe = ["--mediapipe"] if importlib.util.find_spec("mediapipe") else []
    loops = measured("loops.py", "--yamnet", options.yamnet, *mediapipe)
    options.out.write_text(
        chart(
            {
                "Features only": {name: 1 / row["ours_to_peer"] for name, row in front_ends.items()},
                "Sound to answer, every half second": {
                    name: 1 / row["ours_to_this"] for name, row in loops.items() if name != "esc-listen"
                },
            }
        ),
        encoding="utf-8",
    )


if __name__ == "__main__":
    main()
