# Sourced by the examples: a folder of their own with MLflow's defaults, each command shown before
# it runs, messages of MLflow in a log, and the server ended with the script.
set -euo pipefail
name=$(basename "$0" .sh)
cd "$(dirname "$0")"
rm -rf "run/$name"
mkdir -p "run/$name"
cd "run/$name"
unset "${!MLFLOW_@}" # the store is mlflow.db and mlruns in this folder

port=$(python -c 'import socket; s = socket.socket(); s.bind(("", 0)); print(s.getsockname()[1])')
exec 3>&2 2>messages.log
set -m # so that the server and its workers are one group of processes

finish() {
  code=$?
  trap - DEBUG EXIT
  for job in $(jobs -p); do kill -- "-$job" || true; done
  wait
  if [ "$code" != 0 ]; then tail -n 30 messages.log >&3; fi
  exit "$code"
}
trap finish EXIT
trap 'exit 143' TERM INT

until_it_answers() {
  until curl -sf "localhost:$port/ping" >/dev/null; do
    jobs %1 >/dev/null # fails once the server has ended
    sleep 0.2
  done
}

shown=
show() { # the next command of the script, before it runs
  if [ "$BASH_COMMAND" != "$shown" ]; then printf '\n$ %s\n' "$BASH_COMMAND"; fi
  shown=$BASH_COMMAND # what an exit runs has still the name of the last one
}
trap show DEBUG
