"""The vocabulary of op rules: one mixin of `Context` per subject."""
