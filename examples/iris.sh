#!/usr/bin/env bash
# Iris from nothing: train, sweep, promote, serve, ask, score, evaluate, monitor.
. "$(dirname "$0")/stage.sh"

mlflow run ../../.. --env-manager local -e train -P classifier=logistic_regression

mlflow run ../../.. --env-manager local -e sweep -P trials=8 -P jobs=2

mlflow run ../../.. --env-manager local -e promote

mlflow models serve -m models:/iris/Production --env-manager local -p "$port" >serve.log &
until_it_answers

curl -sw '\n' "localhost:$port/invocations" -H 'Content-Type: application/json' -d \
  '{"inputs": [[5.1, 3.5, 1.4, 0.2], [6.7, 3.0, 5.2, 2.3]]}'

curl -sw '\n' "localhost:$port/invocations" -H 'Content-Type: application/json' -d \
  '{"inputs": [[5.1, 3.5, 1.4, null]]}'

mlflow run ../../.. --env-manager local -e score -P output=scored.csv
head -n 3 scored.csv

mlflow run ../../.. --env-manager local -e evaluate -P rows=unseen

mlflow run ../../.. --env-manager local -e monitor
