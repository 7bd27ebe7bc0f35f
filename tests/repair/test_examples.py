"""The first fix of every family's example holds: the patched program was run past the failure."""

from __future__ import annotations

import pytest
from laboratory import Laboratory

from torchwhy.catalogue import load
from torchwhy.family import Family
from torchwhy.replay.fence import missing

EXAMPLES = [(family, number) for family in load().families for number in range(len(family.examples))]

pytestmark = pytest.mark.skipif(bool(missing()), reason="this platform has no fences")


@pytest.mark.parametrize(("family", "number"), EXAMPLES, ids=lambda value: value.slug if isinstance(value, Family) else str(value))
def test_the_first_fix_holds(family: Family, number: int, laboratory: Laboratory) -> None:
    example = family.examples[number]
    trial = laboratory.run(example.files, verify=True)
    assert trial.report is not None, trial.stderr
    assert trial.report["problems"] == []
    own = next((d for d in trial.report["diagnoses"] if d["code"] == family.code), {"fixes": []})
    patches = [fix for fix in own["fixes"] if fix["diff"] and not fix["hides"]]
    if not patches and not example.becomes:
        pytest.skip("its fix is no patch")
    if "which a trial run may not" in patches[0]["detail"]:
        pytest.skip(patches[0]["detail"])
    assert (patches[0]["title"], patches[0]["verified"], patches[0]["detail"])[1] == "gone", own["fixes"]
