"""Models of the zoo all of whose sizes but channels a call says: batches, heights, widths and lengths."""

from __future__ import annotations

from torch.export import Dim

from tests.models import audio, convolutional, detection, diffusion, multi_input_output, segmentation
from tests.models.model import ids
from tests.models.registry import Builder, Entry


def _entry(name: str, builder: Builder, *sizes: int, wrapped: bool = True) -> Entry:
    """A model, exported for an input of these sizes. `wrapped`: whether its arguments come in a tuple."""
    axes = {axis: Dim.AUTO for axis in range(len(sizes)) if axis != 1 or len(sizes) == 2}
    shapes = ((axes,),) if wrapped else (axes,)
    return Entry(name, builder, (sizes,), ("dynamic",), "", dynamic_shapes=shapes)


#: A batch, and in it pictures of any size and bags of any number of words.
_SAMPLE = {"picture": {0: Dim.AUTO, 2: Dim.AUTO, 3: Dim.AUTO}, "words": {0: Dim.AUTO, 1: Dim.AUTO}}

MODELS = {
    entry.name: entry
    for entry in (
        _entry("resnet, every axis", lambda: convolutional.resnet(True), 2, 3, 32, 40),
        _entry("convnext, every axis", lambda: convolutional.convnext(True), 2, 3, 32, 40),
        _entry("segformer, every axis", segmentation.segformer, 2, 3, 32, 40),
        _entry("unet, every axis", segmentation.unet, 2, 3, 16, 24, wrapped=False),
        _entry("retinanet, every axis", detection.retinanet, 2, 3, 32, 40, wrapped=False),
        _entry("detr, every axis", detection.detr, 2, 3, 32, 40),
        _entry("yolos, every axis", detection.yolos, 2, 3, 32, 40),
        _entry("vae-decoder, every axis", diffusion.vae_decoder, 2, 4, 4, 6, wrapped=False),
        _entry("wav2vec2, every axis", audio.wav2vec2, 2, 400),
        _entry("wavenet, every axis", audio.wavenet, 2, 1, 24, wrapped=False),
        _entry("conv-tasnet, every axis", audio.conv_tasnet, 2, 1, 64, wrapped=False),
        _entry("keyword-spotter, every axis", audio.keyword_spotter, 2, 128, wrapped=False),
        Entry(
            "many-tasks, every axis",
            multi_input_output.many_tasks,
            ({"picture": (2, 3, 12, 14), "words": ids(50, 2, 6)},),
            ("dynamic",),
            "",
            dynamic_shapes=(_SAMPLE,),
        ),
    )
}
