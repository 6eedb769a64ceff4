"""`lower` shows what passes make, times them, and runs a part of them."""

from __future__ import annotations

import re
from pathlib import Path

import bridge
from tests.bridge.command_line import bridge_cli, refused
from tests.bridge.samples import path_of

SOURCE = path_of("view_mutation")


def lowered(target: Path, *words: object) -> str:
    """What `lower` tells on standard error; what it prints is as ever."""
    status, out, err = bridge_cli("lower", SOURCE, "-e", "none", "-o", target, *words)
    assert status == 0, err
    assert out.endswith(f"wrote {target}\n")
    return err


def heads(told: str) -> list[str]:
    return [line for line in told.splitlines() if line.startswith("//")]


def test_nothing_is_told_unasked(tmp_path: Path) -> None:
    assert lowered(tmp_path / "a.bridge") == ""


def test_printing_after_passes(tmp_path: Path) -> None:
    words = ("--print-after", "eliminate-dead-code", "--print-after", "fold-vmaps")
    told = lowered(tmp_path / "a.bridge", *words)
    assert heads(told) == ["// 2: import, after fold-vmaps", "// 11: canonical, after eliminate-dead-code"]
    artifact = bridge.load(tmp_path / "a.bridge")
    assert told.split("eliminate-dead-code\n")[1].rstrip("\n") == str(artifact.functional).rstrip("\n")


def test_passes_of_a_target_are_printed_too(tmp_path: Path) -> None:
    target = tmp_path / "a.bridge"
    status, _, err = bridge_cli(
        "lower", SOURCE, "-e", "aten", "-o", target, "--print-after", "constant-folding"
    )
    assert status == 0
    assert heads(err) == ["// 16: aten, after constant-folding"]
    assert "aten.add_.Tensor" in err


def test_printing_what_changed(tmp_path: Path) -> None:
    told = lowered(tmp_path / "a.bridge", "--print-changed")
    assert heads(told) == [
        "// 9: canonical, after functionalise",
        "// 11: canonical, after eliminate-dead-code",
    ]


def test_a_part_of_the_passes_keeps_those_that_results_rest_on(tmp_path: Path) -> None:
    told = lowered(tmp_path / "a.bridge", "--passes-until", 9, "--print-changed")
    assert heads(told) == ["// 9: canonical, after functionalise"]
    assert heads(lowered(tmp_path / "b.bridge", "--passes-until", 0, "--print-changed")) == [
        "// 7: canonical, after functionalise"
    ]
    assert bridge.verify(tmp_path / "b.bridge", engines=("aten",)).passed


def test_binaries_of_a_part_of_the_passes_are_not_kept(tmp_path: Path) -> None:
    for words, kept in ((("--passes-until", 11), False), ((), True)):
        assert bridge_cli("lower", SOURCE, "-e", "xla", "-o", tmp_path / "a.bridge", *words)[0] == 0
        assert bool(bridge.load(tmp_path / "a.bridge").binaries) == kept


def test_times_are_summed_by_pass(tmp_path: Path) -> None:
    first, *rows, last = lowered(tmp_path / "a.bridge", "--time-passes").splitlines()
    assert first.split() == ["ms", "runs", "pass"]
    assert [re.sub(r"^ +\d+\.\d{3} +1  ", "", row) for row in rows[:3]] == [
        "import: dissolve-effects",
        "import: fold-vmaps",
        "import: meta-to-cpu",
    ]
    assert last.split()[1:] == ["15", "all"]


def test_a_pass_that_does_not_exist_is_refused(tmp_path: Path) -> None:
    message = (
        "the pass 'functionalize' is not among those that `bridge passes` lists; "
        "did you mean `functionalise`?"
    )
    target = tmp_path / "a.bridge"
    refused(message, "lower", SOURCE, "-o", target, "--print-after", "functionalize")
    refused("", "lower", SOURCE, "-o", target, "--passes-until", -1, status=2)
    assert not target.exists()
