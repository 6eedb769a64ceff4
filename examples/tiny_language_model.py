"""A small Llama that is trained in a minute on Python's own manual, which every Python has with it."""

from __future__ import annotations

import re
import time
from pathlib import Path
from pydoc_data.topics import topics

import torch
import transformers
from tokenizers import Tokenizer, decoders, models, pre_tokenizers, trainers

WORDS = 2048
CONTEXT = 96
BATCH = 16
_END = "<end>"


def manual() -> str:
    """The text of the manual, without its tables of symbols and its indents."""
    text = "\n".join(topics[name] for name in sorted(topics))
    text = re.sub(r"[*=`~^+_-]{4,}", "", text)
    return re.sub(r"[ \t]+", " ", re.sub(r"\n\s*\n\s*", "\n\n", text))


def trained_tokenizer(text: str) -> transformers.PreTrainedTokenizerFast:
    """Byte pairs of the text, with a token for its end."""
    tokenizer = Tokenizer(models.BPE())
    tokenizer.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    tokenizer.decoder = decoders.ByteLevel()
    alphabet = pre_tokenizers.ByteLevel.alphabet()
    trainer = trainers.BpeTrainer(vocab_size=WORDS, special_tokens=[_END], initial_alphabet=alphabet)
    tokenizer.train_from_iterator(text.split("\n\n"), trainer)
    return transformers.PreTrainedTokenizerFast(tokenizer_object=tokenizer, eos_token=_END, pad_token=_END)


def train(folder: Path, seconds: float = 60.0) -> None:
    """Train for some seconds and write the model and its tokenizer, as transformers reads them."""
    text = manual()
    tokenizer = trained_tokenizer(text)
    ids = torch.tensor(tokenizer(text)["input_ids"])
    torch.manual_seed(0)
    config = transformers.LlamaConfig(
        hidden_size=192,
        intermediate_size=512,
        num_hidden_layers=4,
        num_attention_heads=6,
        num_key_value_heads=2,
        vocab_size=WORDS,
        max_position_embeddings=512,
        tie_word_embeddings=True,
        eos_token_id=tokenizer.eos_token_id,
        pad_token_id=tokenizer.pad_token_id,
    )
    model = transformers.LlamaForCausalLM(config)
    optimiser = torch.optim.AdamW(model.parameters(), lr=3e-3, betas=(0.9, 0.95), weight_decay=0.1)
    started, steps, loss = time.perf_counter(), 0, torch.tensor(0.0)
    while (passed := time.perf_counter() - started) < seconds:
        # A warm-up of two seconds, then a straight line down to a tenth.
        rate = 3e-3 * min(1.0, passed / 2) * (1 - 0.9 * passed / seconds)
        for group in optimiser.param_groups:
            group["lr"] = rate
        starts = torch.randint(len(ids) - CONTEXT, (BATCH, 1))
        batch = ids[starts + torch.arange(CONTEXT)]
        loss = model(input_ids=batch, labels=batch).loss
        optimiser.zero_grad()
        loss.backward()
        optimiser.step()
        steps += 1
    print(f"trained {steps} steps on {len(ids)} tokens in {passed:.0f} s; the loss is {loss.item():.2f}")
    model.save_pretrained(folder)
    tokenizer.save_pretrained(folder)
