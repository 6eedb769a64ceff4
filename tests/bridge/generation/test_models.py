"""Models of transformers as methods: greedy answers are those of transformers' own `generate`."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
import transformers as hf

import bridge
from bridge.errors import BridgeError, UsageError
from bridge.generation import (
    Conversation,
    SourceConversation,
    causal_model,
    decoder_programs,
    encoder_decoder_programs,
    generate,
)
from lowering.ir.plan import Placement
from tests.models.model import seeded

BATCH, LENGTH, TOKENS, VOCABULARY, END = 2, 64, 48, 97, 96
_SIZES = {
    "vocab_size": VOCABULARY, "hidden_size": 64, "intermediate_size": 128, "num_hidden_layers": 2,
    "num_attention_heads": 4, "num_key_value_heads": 2, "max_position_embeddings": 128,
}  # fmt: skip


def gemma() -> hf.Gemma3ForCausalLM:
    """Most layers have a window of 8 positions, which the answer outgrows."""
    sizes = {**_SIZES, "num_hidden_layers": 4, "head_dim": 16}
    return hf.Gemma3ForCausalLM(hf.Gemma3TextConfig(**sizes, sliding_window=8, sliding_window_pattern=2))


MODELS: dict[str, Callable[[], Any]] = {
    "llama": lambda: hf.LlamaForCausalLM(hf.LlamaConfig(**_SIZES)),
    "qwen3": lambda: hf.Qwen3ForCausalLM(hf.Qwen3Config(**_SIZES, head_dim=16)),
    "gemma3": gemma,
    "gpt2": lambda: hf.GPT2LMHeadModel(
        hf.GPT2Config(
            n_embd=64,
            n_layer=2,
            n_head=4,
            vocab_size=VOCABULARY,
            n_positions=128,
            bos_token_id=1,
            eos_token_id=2,
        )
    ),
}


def t5() -> tuple[Any, dict[str, torch.Tensor], int]:
    model = seeded(
        lambda: hf.T5ForConditionalGeneration(
            hf.T5Config(
                vocab_size=VOCABULARY, d_model=64, d_kv=16, d_ff=128, num_layers=2, num_heads=4,
                decoder_start_token_id=0, pad_token_id=0, eos_token_id=END,
            )
        )
    )  # fmt: skip
    ids = torch.randint(1, END, (BATCH, 11), generator=torch.Generator().manual_seed(0))
    mask = torch.ones(BATCH, 11, dtype=torch.int64)
    mask[0, 7:] = 0
    return model, {"input_ids": ids, "attention_mask": mask}, 24


def whisper() -> tuple[Any, dict[str, torch.Tensor], int]:
    model = seeded(
        lambda: hf.WhisperForConditionalGeneration(
            hf.WhisperConfig(
                vocab_size=VOCABULARY, d_model=64, encoder_layers=2, decoder_layers=2,
                encoder_attention_heads=4, decoder_attention_heads=4, encoder_ffn_dim=128,
                decoder_ffn_dim=128, num_mel_bins=8, max_source_positions=20, max_target_positions=LENGTH,
                decoder_start_token_id=3, pad_token_id=0, eos_token_id=END, bos_token_id=1,
                suppress_tokens=None, begin_suppress_tokens=None,
            )
        )
    )  # fmt: skip
    sound = torch.randn(BATCH, 8, 40, generator=torch.Generator().manual_seed(0))
    return model, {"input_features": sound}, 20


def wholly_lowered(lowered: Any) -> bool:
    return all(s.placement is Placement.STABLEHLO for one in lowered.values() for s in one.plan.segments)


def pairs(quick: tuple[str, str], names: list[str]) -> list[Any]:
    """Models by engines; all but the quick one take a compiler's minute."""
    found = [(name, engine) for name in names for engine in ("xla", "iree", "aten")]
    return [pair if pair == quick else pytest.param(*pair, marks=pytest.mark.conformance) for pair in found]


@pytest.mark.parametrize(("name", "engine"), pairs(("llama", "xla"), list(MODELS)))
def test_a_decoder_generates_what_transformers_does(name: str, engine: str, tmp_path: Path) -> None:
    model = seeded(MODELS[name])
    prompt = torch.randint(1, END, (BATCH, 11), generator=torch.Generator().manual_seed(0))
    mask = torch.ones(BATCH, 11, dtype=torch.int64)
    mask[0, :4] = 0
    expected = model.generate(
        prompt, attention_mask=mask, max_new_tokens=TOKENS, do_sample=False, eos_token_id=END, pad_token_id=0
    )
    lowered = bridge.lower(decoder_programs(model, BATCH, LENGTH))
    assert wholly_lowered(lowered)
    compiled = bridge.load(lowered.save(tmp_path / "decoder.bridge")).compile(engine)
    sessions = [compiled.session() for _ in range(2)]
    for session in sessions:
        conversation = Conversation(session, BATCH, LENGTH)
        assert generate(conversation, prompt, TOKENS, mask=mask, stop=(END,)).equal(expected)
    # Back to the end of the prompt, in the first of them.
    conversation = Conversation(sessions[0], BATCH, LENGTH)
    first = conversation.read(prompt, mask).argmax(1)
    conversation.read(first[:, None])
    conversation.roll_back(11)
    again = [conversation.read(tokens[:, None]) for tokens in expected[:, 11:14].unbind(1)]
    # Behind its end a row of transformers is padding.
    going = ~(expected[:, 11:14] == END).any(1)
    assert going.any()
    assert torch.stack([logits.argmax(1) for logits in again], 1)[going].equal(expected[going, 12:15])


@pytest.mark.parametrize(("name", "engine"), pairs(("t5", "aten"), ["t5", "whisper"]))
def test_an_encoder_decoder_generates_what_transformers_does(name: str, engine: str) -> None:
    model, given, source_length = {"t5": t5, "whisper": whisper}[name]()
    expected = hf.GenerationMixin.generate(model, **given, max_new_tokens=TOKENS, do_sample=False)
    source, *mask = given.values()
    lowered = bridge.lower(encoder_decoder_programs(model, source, source_length, LENGTH))
    assert wholly_lowered(lowered)
    compiled = lowered.compile(engine)
    for _ in range(2):
        with compiled.session() as session:
            conversation = SourceConversation(
                session, source, *mask, length=LENGTH, source_length=source_length
            )
            begin = torch.full((BATCH, 1), model.config.decoder_start_token_id)
            assert generate(conversation, begin, TOKENS, stop=(END,)).equal(expected)


def test_a_model_of_a_folder(tmp_path: Path) -> None:
    model = seeded(MODELS["llama"])
    model.save_pretrained(tmp_path / "model")
    found = causal_model(tmp_path / "model")
    tokens = torch.arange(5)[None]
    with torch.no_grad():
        assert found(tokens).logits.equal(model(tokens).logits)
    (tmp_path / "model" / "model.safetensors").unlink()
    with pytest.raises(BridgeError, match="transformers cannot read"):
        causal_model(tmp_path / "model")
    with pytest.raises(BridgeError, match=r"has no config\.json; give the folder of a transformers model"):
        causal_model(tmp_path)


def test_models_that_do_not_fit() -> None:
    model = seeded(MODELS["llama"])
    with pytest.raises(UsageError, match="the model has 128 positions, and caches of 129 were asked for"):
        decoder_programs(model, 1, 129)
    with pytest.raises(UsageError, match="a batch of 0 and a length of 64 are too small"):
        decoder_programs(model, 0, 64)
    with pytest.raises(UsageError, match=r"call model.eval\(\) first"):
        decoder_programs(model.train(), 1, 64)
