#!/usr/bin/env bash
# Runs the examples (all, or those named) and writes what they print beside them:
# examples/record.sh iris
# Only what no second run shares becomes "…": folder and user, rows a second, seconds.
set -euo pipefail
cd "$(dirname "$0")"
[ $# -gt 0 ] || set -- iris penguins energy
for name in "$@"; do
  printed=$(bash "$name.sh")
  sed -E -e "s#$(dirname "$PWD")#…#g" -e 's/[0-9,]+ a second/… a second/' \
    -e 's/^seconds: .*/seconds: …/' -e "s/, $(id -un): /, …: /" <<<"$printed" >"$name.out"
done
