#!/usr/bin/env bash
# Looks whether recent rows have drifted, and retrains if so. By cron, GitHub Actions or Kubernetes:
#   crontab, retrain.yml, cronjob.yaml beside this file. It reads
#   MODEL   name in the registry, RECENT  table of recent rows, labels are not needed,
#   DATA    table of all labelled rows, TARGET  column to predict; MLFLOW_TRACKING_URI as usual,
#   TRIALS  of the sweep, 40 unless set.
# It ends with 0: no drift, too few rows, or retrained. Else with the exit code of what failed.
set -uo pipefail
cd "$(dirname "$0")/../.." || exit 1

python -m steps.monitor --model "models:/$MODEL@champion" --data "$RECENT"
verdict=$?
case $verdict in
  0) echo "retrain: no drift, nothing to do" ;;
  3) exec python -m steps.main --data "$DATA" --target "$TARGET" --model_name "$MODEL" \
    --trials "${TRIALS:-40}" ;;
  4) echo "retrain: too few rows to tell, nothing to do" ;;
  *) echo "retrain: monitor failed with $verdict" >&2 && exit $verdict ;;
esac
