"""Runs the examples and near misses of the families named (`shape.linear`, `shape`, or none for all) and prints what torchwhy says."""

from __future__ import annotations

import sys
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
sys.path[:0] = [str(ROOT / "src"), str(ROOT / "tests")]

from judging import ExampleRun, near_miss_faults  # noqa: E402
from laboratory import Laboratory  # noqa: E402

from torchwhy.catalogue import faults, load  # noqa: E402
from torchwhy.family import Family  # noqa: E402


def main(wanted: list[str]) -> int:
    catalogue = load()
    chosen = [f for f in catalogue.families if not wanted or any(f"{f.slug}.".startswith(f"{w}.") or f.code == w for w in wanted)]
    if "_template" in wanted:
        from torchwhy.families._template import TensorOfTensors

        chosen.append(TensorOfTensors())
    laboratory = Laboratory()
    said = [*catalogue.problems, *faults(tuple(f for f in chosen if f.code != "TW0000"))]
    for family in chosen:
        said += _try(family, laboratory)
    print("─" * 100)
    print("\n".join(said) if said else f"{len(chosen)} families: all well")
    return 1 if said or not chosen else 0


def _try(family: Family, laboratory: Laboratory) -> list[str]:
    said: list[str] = []
    for number in range(len(family.examples)):
        run = ExampleRun(family, number, laboratory)
        name = f"{family.slug} example {number + 1}"
        print(f"── {name} " + "─" * (96 - len(name)))
        found = _tell(list(run.faults()))
        print(run.rendered)
        said += [f"{name}: {fault}" for fault in found]
    for number, miss in enumerate(family.near_misses):
        found = list(near_miss_faults(family, miss, laboratory))
        said += [f"{family.slug} near miss {number + 1}: {fault}" for fault in found]
    return said


def _tell(found: list[str]) -> list[str]:
    for fault in found:
        print(f"FAULT: {fault}")
    return found


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
