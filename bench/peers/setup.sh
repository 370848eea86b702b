#!/usr/bin/env bash
# Makes the Python environment of the peers in peers/.venv (Python 3.11 or later). tinygrad also wants clang.
set -euo pipefail
cd "$(dirname "$0")"
python3 -m venv .venv
.venv/bin/pip install -r requirements.txt
command -v clang >/dev/null || echo 'no clang: tinygrad will be absent from the table' >&2
