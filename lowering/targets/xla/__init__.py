"""XLA, through jaxlib. This file is read where jax is not installed, too."""

from lowering.targets.target import Choice

CHOICES = {
    # On several cores the default is YNN, whose matmuls scale over threads. Eigen's are faster at times.
    "xla-eigen": Choice("xla", {"xla_cpu_experimental_ynn_fusion_type": ""}, several_cores=True),
}
