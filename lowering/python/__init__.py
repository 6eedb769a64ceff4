"""Python source of a program: a `torch.nn.Module` whose export is the program again."""
