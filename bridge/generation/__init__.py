"""Text, token by token: transformers' models as artifacts, and the loop around them.

>>> from bridge.generation import Conversation, decoder_programs, generate
>>> lowered = bridge.lower(decoder_programs(model, batch=1, length=512))
>>> conversation = Conversation(lowered.compile().session(), batch=1, length=512)
>>> tokens = generate(conversation, prompt, max_new_tokens=64)
"""

from bridge.generation.conversation import Conversation, SourceConversation
from bridge.generation.export import causal_model, decoder_programs, encoder_decoder_programs
from bridge.generation.sampling import GREEDY, Sampling
from bridge.generation.stream import generate, stream

__all__ = [
    "GREEDY",
    "Conversation",
    "Sampling",
    "SourceConversation",
    "causal_model",
    "decoder_programs",
    "encoder_decoder_programs",
    "generate",
    "stream",
]
