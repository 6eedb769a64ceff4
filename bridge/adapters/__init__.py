"""Low-rank adapters: read from PEFT's files, fitted to a program, added to calls or merged into weights."""
