"""IREE. This file is read where IREE is not installed, too."""

# The distributions to install, by the name of the import.
PACKAGES = {
    "iree.compiler": "iree-base-compiler",
    "iree.runtime": "iree-base-runtime",
    "iree": "iree-base-compiler iree-base-runtime",
}
