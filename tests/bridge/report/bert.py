"""BERT-base at its published size, without weights, and its report."""

from __future__ import annotations

from functools import cache

import torch
from transformers import BertConfig, BertModel

import bridge
from bridge.cli.summary import summary
from bridge.report.document import report_page


@cache
def bert() -> bridge.Lowered:
    """The model on the meta device, lowered; not to be changed."""
    with torch.device("meta"):
        tokens = torch.zeros(1, 128, dtype=torch.int64)
        inputs = {"input_ids": tokens, "attention_mask": tokens}
        return bridge.lower(bridge.extract(BertModel(BertConfig()).eval(), (), inputs, name="bert"))


@cache
def bert_report() -> str:
    return report_page(bert(), "bert", summary(bert()))
