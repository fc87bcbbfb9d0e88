#!/usr/bin/env bash
# Makes the reference of the API as pages of HTML: tools/reference.sh FOLDER
# Every module is named, since pdoc leaves out what a package's __all__ does not
# have; what it finds in a package by itself is taken back. A warning is an error.
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")/.."
mapfile -t modules < <(
  git ls-files 'embedding_rnn/*.py' |
    grep -vE '(_test|conftest|__main__)\.py$' |
    sed -E -e 's|\.py$||' -e 's|/|.|g' -e 's|(.*)\.__init__$|\1\n!\1\\..+|'
)
warnings=$(mktemp)
trap 'rm -f "$warnings"' EXIT
export TF_CPP_MIN_LOG_LEVEL=3
python -m pdoc --docformat google --output-directory "${1:?}" \
  "${modules[@]}" 2>"$warnings" || { cat "$warnings" >&2; exit 1; }
# TensorFlow's notes on what its build can do are no warnings of ours.
! grep -vE '^[IWE][0-9]{4} |absl::InitializeLog' "$warnings" >&2
