"""Models of transformers as programs: a prefill and a decode step over the same caches."""

from __future__ import annotations

from os import PathLike
from pathlib import Path
from typing import Any

import torch
from torch.export import Dim, ExportedProgram

from bridge.errors import UsageError
from bridge.generation.decoder_only import DecoderOnly
from bridge.generation.encoder_decoder import Decode, EncoderDecoder, Prefill
from bridge.generation.packages import require

Programs = dict[str, ExportedProgram]


def causal_model(folder: str | PathLike[str], dtype: torch.dtype | None = None) -> Any:
    """The causal language model of a folder with `config.json` and `.safetensors` files, in eval mode.

    Nothing is downloaded and no code of the folder runs. `dtype`: of the weights; None for the one that the
    configuration names. Raises UsageError for a folder that transformers cannot read.
    """
    require()
    import transformers

    if not (Path(folder) / "config.json").is_file():
        raise UsageError(f"{folder} has no config.json; give the folder of a transformers model")
    try:
        model = transformers.AutoModelForCausalLM.from_pretrained(
            str(folder),
            dtype="auto" if dtype is None else dtype,
            local_files_only=True,
            trust_remote_code=False,
            use_safetensors=True,
        )
    except (OSError, ValueError, KeyError) as error:
        raise UsageError(f"transformers cannot read {folder}: {' '.join(str(error).split())}") from error
    return model.eval()


def decoder_programs(model: Any, batch: int = 1, length: int = 1024) -> Programs:
    """`prefill` and `decode` of a causal language model of transformers, with caches of `length` positions.

    `prefill` takes any number of tokens from 2 to `length`, `decode` one; see `DecoderOnly.forward`. The
    model's weights are used where they lie. Raises UsageError for a model whose layers keep anything but keys
    and values, or that has fewer positions.
    """
    _check(model, batch, length)
    step = DecoderOnly(model, batch, length).eval()
    start, last = torch.zeros(1, dtype=torch.int64), torch.zeros(1, dtype=torch.int64)
    mask = torch.ones(batch, length, dtype=torch.bool)
    some = torch.zeros(batch, min(16, length), dtype=torch.int64)
    count = Dim("tokens", min=2, max=length)
    return {
        "prefill": _exported(step, (some, start, mask, last), ({1: count}, None, None, None)),
        "decode": _exported(step, (some[:, :1].contiguous(), start, mask, last)),
    }


def encoder_decoder_programs(
    model: Any, source: torch.Tensor, source_length: int, length: int = 256
) -> Programs:
    """`prefill` and `decode` of an encoder-decoder of transformers, with caches of `length` positions.

    `source`: an example of the encoder's input. Token ids, int64 [batch, n], may have any length from 2 to
    `source_length` then. Features keep their sizes, and `source_length` is the number of positions that the
    encoder makes of them. See `Prefill.forward` and `Decode.forward`. Raises as `decoder_programs` does.
    """
    batch = source.shape[0]
    _check(model, batch, length)
    shared = EncoderDecoder(model, batch, length, source, source_length)
    token, start = torch.zeros(batch, 1, dtype=torch.int64), torch.zeros(1, dtype=torch.int64)
    if source.dtype.is_floating_point:
        return {
            "prefill": _exported(Prefill(shared).eval(), (source, token)),
            "decode": _exported(Decode(shared).eval(), (token, start)),
        }
    mask = torch.ones(batch, source_length, dtype=torch.bool)
    count = Dim("source_tokens", min=2, max=source_length)
    return {
        "prefill": _exported(Prefill(shared).eval(), (source, token, mask), ({1: count}, None, None)),
        "decode": _exported(Decode(shared).eval(), (token, start, mask)),
    }


def _check(model: Any, batch: int, length: int) -> None:
    require()
    if batch < 1 or length < 2:
        raise UsageError(f"a batch of {batch} and a length of {length} are too small; 1 and 2 are the least")
    config = model.config.get_text_config(decoder=True)
    most = getattr(config, "max_position_embeddings", None)
    if most is not None and length > most:
        raise UsageError(f"the model has {most} positions, and caches of {length} were asked for")
    if model.training:
        raise UsageError("the model is in training mode; call model.eval() first")


def _exported(step: torch.nn.Module, args: tuple[Any, ...], sizes: Any = None) -> ExportedProgram:
    with torch.no_grad():
        return torch.export.export(step, args, dynamic_shapes=sizes, strict=False)
