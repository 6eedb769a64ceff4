#!/usr/bin/env sh
# `tests.pythons` under each Python named, in an environment with what pyproject.toml pins, less torch.
set -eu
cd "$(dirname "$0")/.."
pins=$(.venv/bin/python -c "
import tomllib
project = tomllib.load(open('pyproject.toml', 'rb'))['project']
print(' '.join(pin for pin in project['dependencies'] if not pin.startswith('torch')))")

# A Python that the path names and that starts, else one that pyenv keeps.
found() {
    for candidate in "$1" "${PYENV_ROOT:-$HOME/.pyenv}"/versions/"${1#python}"*/bin/"$1"; do
        if "$candidate" --version > /dev/null 2>&1; then
            echo "$candidate"
            return
        fi
    done
}

for name in "$@"; do
    python=$(found "$name")
    if test -z "$python"; then
        echo "$name is not found: not tested"
        continue
    fi
    environment=build/$name
    test -x "$environment/bin/python" || "$python" -m venv "$environment"
    # shellcheck disable=SC2086 - the pins are words
    "$environment/bin/python" -m pip install --quiet $pins
    PYTHONPATH=. "$environment/bin/python" -m tests.pythons
done
