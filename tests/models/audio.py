"""Networks that hear and speak."""

from __future__ import annotations

import torch
import transformers as hf
from torch import nn
from torch.nn import functional as F

from tests.models.attention import SMALL
from tests.models.model import Leaves, Named
from tests.models.registry import register_model


@register_model(
    "whisper-tiny-encoder",
    ((1, 16, 40),),
    ("audio", "attention"),
    "Whisper's encoder: convolutions over a spectrogram, then a transformer",
    published=((1, 80, 3000),),
)
def whisper_encoder(small: bool) -> nn.Module:
    from transformers.models.whisper.modeling_whisper import WhisperEncoder

    sizes = {"d_model": 32, "encoder_layers": 2, "encoder_attention_heads": 2, "encoder_ffn_dim": 64}
    published = {"d_model": 384, "encoder_layers": 4, "encoder_attention_heads": 6, "encoder_ffn_dim": 1536}
    positions = {"num_mel_bins": 16, "max_source_positions": 20} if small else {}
    return Leaves(WhisperEncoder(hf.WhisperConfig(**(sizes if small else published), **positions)))


@register_model(
    "wav2vec2", ((1, 400),), ("audio", "attention"), "wav2vec 2.0: letters from the samples of a voice"
)
def wav2vec2() -> nn.Module:
    config = hf.Wav2Vec2Config(
        **SMALL, vocab_size=12, conv_dim=(16, 16), conv_stride=(5, 4), conv_kernel=(10, 8),
        num_conv_pos_embeddings=8, num_conv_pos_embedding_groups=2, num_feat_extract_layers=2,
    )  # fmt: skip
    return Leaves(hf.Wav2Vec2ForCTC(config))


@register_model(
    "spectrogram-transformer",
    ((1, 24, 16),),
    ("audio", "attention"),
    "AST: patches of a spectrogram in a transformer",
)
def spectrogram_transformer() -> nn.Module:
    config = hf.ASTConfig(
        **SMALL, patch_size=8, frequency_stride=8, time_stride=8, max_length=24, num_mel_bins=16, num_labels=5
    )
    return Leaves(hf.ASTForAudioClassification(config))


@register_model(
    "dac",
    ((1, 1, 64),),
    ("audio", "convolutional"),
    "DAC: sound to the codes of several quantisers and back",
)
def dac() -> nn.Module:
    config = hf.DacConfig(
        encoder_hidden_size=4, decoder_hidden_size=16, downsampling_ratios=[4, 2], upsampling_ratios=[2, 4],
        n_codebooks=2, codebook_size=16, codebook_dim=4, hidden_size=16, sampling_rate=1000,
    )  # fmt: skip
    return Named(hf.DacModel(config), "audio_values", "quantized_representation", "audio_codes")


@register_model(
    "hifi-gan", ((1, 6, 8),), ("audio", "convolutional"), "HiFi-GAN: a voice from its spectrogram"
)
def hifi_gan() -> nn.Module:
    config = hf.SpeechT5HifiGanConfig(
        model_in_dim=8, upsample_initial_channel=16, upsample_rates=[4, 2], upsample_kernel_sizes=[8, 4],
        resblock_kernel_sizes=[3, 5], resblock_dilation_sizes=[[1, 3], [1, 3]],
    )  # fmt: skip
    return hf.SpeechT5HifiGan(config)


class WaveNet(nn.Module):
    """Causal convolutions, each reaching twice as far; gates and skips (van den Oord et al., 2016)."""

    def __init__(self, channels: int, layers: int, classes: int) -> None:
        super().__init__()
        self.into = nn.Conv1d(1, channels, 1)
        self.gates = nn.ModuleList(
            [nn.Conv1d(channels, 2 * channels, 2, dilation=2**layer) for layer in range(layers)]
        )
        self.outs = nn.ModuleList([nn.Conv1d(channels, 2 * channels, 1) for _ in range(layers)])
        self.scores = nn.Sequential(nn.ReLU(), nn.Conv1d(channels, channels, 1), nn.ReLU())
        self.last = nn.Conv1d(channels, classes, 1)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        x = self.into(x)
        total = torch.zeros_like(x)
        for gate, out in zip(self.gates, self.outs, strict=True):
            assert isinstance(gate, nn.Conv1d)
            sound, share = gate(F.pad(x, (gate.dilation[0], 0))).chunk(2, 1)
            onward, skip = out(sound.tanh() * share.sigmoid()).chunk(2, 1)
            x, total = x + onward, total + skip
        return self.last(self.scores(total))


@register_model(
    "wavenet",
    ((1, 1, 24),),
    ("audio", "skip-connections", "convolutional"),
    "WaveNet: the next sample, by causal convolutions that reach far",
)
def wavenet() -> nn.Module:
    return WaveNet(6, 3, 8)


class KeywordSpotter(nn.Module):
    """Samples to a mel spectrogram in decibels, then convolutions to a word."""

    def __init__(self, size: int, mels: int) -> None:
        super().__init__()
        self.size = size
        self.register_buffer("window", torch.hann_window(size))
        self.register_buffer("filters", torch.rand(mels, size // 2 + 1))
        self.body = nn.Sequential(
            nn.Conv2d(1, 4, 3, padding=1), nn.BatchNorm2d(4), nn.ReLU(), nn.AdaptiveAvgPool2d(1), nn.Flatten()
        )
        self.scores = nn.Linear(4, 5)

    def forward(self, samples: torch.Tensor) -> torch.Tensor:
        spectrum = torch.stft(samples, self.size, self.size // 2, window=self.window, return_complex=True)
        mels = 10 * (self.filters @ spectrum.abs().square()).clamp(min=1e-6).log10()
        return self.scores(self.body(mels.unsqueeze(1)))


@register_model(
    "keyword-spotter",
    ((1, 128),),
    ("audio", "convolutional"),
    "Keywords: a mel spectrogram inside the model, then convolutions",
)
def keyword_spotter() -> nn.Module:
    return KeywordSpotter(32, 8)


class Separator(nn.Module):
    """Conv-TasNet: a learned basis, masks of two voices, and back to samples (Luo and Mesgarani, 2019)."""

    def __init__(self, basis: int, layers: int) -> None:
        super().__init__()
        self.encode = nn.Conv1d(1, basis, 8, 4, bias=False)
        self.norm = nn.GroupNorm(1, basis)
        self.layers = nn.ModuleList(
            [
                nn.Sequential(
                    nn.Conv1d(basis, 2 * basis, 1),
                    nn.PReLU(),
                    nn.GroupNorm(1, 2 * basis),
                    nn.Conv1d(2 * basis, 2 * basis, 3, padding=2**i, dilation=2**i, groups=2 * basis),
                    nn.PReLU(),
                    nn.Conv1d(2 * basis, basis, 1),
                )
                for i in range(layers)
            ]
        )
        self.masks = nn.Conv1d(basis, 2 * basis, 1)
        self.decode = nn.ConvTranspose1d(basis, 1, 8, 4, bias=False)

    def forward(self, sound: torch.Tensor) -> tuple[torch.Tensor, ...]:
        code = F.relu(self.encode(sound))
        x = self.norm(code)
        for layer in self.layers:
            x = x + layer(x)
        return tuple(self.decode(code * mask) for mask in self.masks(x).sigmoid().chunk(2, 1))


@register_model(
    "conv-tasnet",
    ((1, 1, 48),),
    ("audio", "convolutional", "multi-input-output"),
    "Conv-TasNet: two voices apart",
)
def conv_tasnet() -> nn.Module:
    return Separator(8, 2)
