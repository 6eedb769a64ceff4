"""What fuzzing found once, and a few new cases of each kind."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.fuzz import artifacts, files, modules, weights
from tests.fuzz.campaign import Campaign
from tests.fuzz.children import Ending, run_cases

CORPUS = Path(__file__).parents[1] / "data" / "fuzz"
CAMPAIGNS = [files.CAMPAIGN, artifacts.CAMPAIGN, modules.CAMPAIGN, weights.CAMPAIGN]


@pytest.mark.parametrize("campaign", CAMPAIGNS, ids=lambda c: c.name)
def test_findings_stay_mended(campaign: Campaign) -> None:
    found = sorted(CORPUS.glob(f"{campaign.name}-*{campaign.suffix}"))
    for path, outcome in run_cases(found, lambda path: campaign.act(path.read_bytes()), campaign.limits):
        assert outcome.ending is Ending.RETURNED, f"{path.name}: {outcome.detail}"


@pytest.mark.parametrize("campaign", CAMPAIGNS, ids=lambda c: c.name)
def test_new_cases(campaign: Campaign, tmp_path: Path) -> None:
    ended = campaign.run(60, tmp_path, seed=1_000_000)
    assert not (tmp_path / "findings.jsonl").exists(), (tmp_path / "findings.jsonl").read_text()
    assert ended["refused"] > 10
    assert ended["ran"] > 0
    assert sum(ended.values()) == 60


def test_a_campaign_is_taken_up_where_it_ended(tmp_path: Path) -> None:
    tried = tmp_path / "tried"

    def act(content: bytes) -> str:
        with tried.open("ab") as stream:
            stream.write(content + b"\n")
        if content == b"7":
            raise ValueError("seven")
        return "fine"

    campaign = Campaign("numbers", lambda number: str(number).encode(), act, ".txt")
    campaign.run(5, tmp_path / "out", shards=2)
    campaign.run(9, tmp_path / "out", shard=1, shards=2)
    campaign.run(9, tmp_path / "out", shard=1, shards=2)
    numbers = [int(line) for line in tried.read_bytes().split()]
    assert sorted(numbers) == [0, 1, 2, 3, 4, 5, 7]
    assert (tmp_path / "out" / "7.txt").read_bytes() == b"7"
    assert "seven" in (tmp_path / "out" / "findings.jsonl").read_text()
