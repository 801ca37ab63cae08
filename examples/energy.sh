#!/usr/bin/env bash
# A German export, several rows per customer, a date, costs; then prices rise. Which invoice of an
# energy supplier will be paid late?
. "$(dirname "$0")/stage.sh"

python ../../energy_table.py
head -n 3 earlier.csv

# A needless reminder costs 15 EUR, a late payment that nobody expected 60.
costs='{"no": {"yes": 15}, "yes": {"no": 60}}'
families=logistic_regression,hist_gradient_boosting,random_forest

mlflow run ../../.. --env-manager local -e main -P data=earlier.csv -P target='paid late' \
  -P model_name=invoices -P group=customer -P time='invoice date' -P cost="$costs" \
  -P classifiers=$families -P trials=8 -P jobs=2

mlflow models serve -m models:/invoices/Production --env-manager local -p "$port" >serve.log &
until_it_answers

# Numbers as the export has them; the customer and the date are not asked for.
curl -sw '\n' "localhost:$port/invocations" -H 'Content-Type: application/json' -d \
  '{"inputs": [{"tariff": "basic", "region": "Süd", "usage kWh": "1.234,5", "price ct/kWh": "31,90",
                "amount EUR": "393,81", "payment": "transfer", "reminders": 2, "calls": 0}]}'

# A year and a half later: exit code 3 is drift.
PYTHONPATH=../../.. python -m steps.monitor --model models:/invoices/Production \
  --data later.csv || echo "exit code $?"

# Retrain on all rows: customer and date are remembered, the search begins with what is there.
cp earlier.csv all.csv
tail -n +2 later.csv >>all.csv
mlflow run ../../.. --env-manager local -e main -P data=all.csv -P target='paid late' \
  -P model_name=invoices -P cost="$costs" -P classifiers=$families -P trials=6 -P jobs=2

# The same table again, as a job of every night would do it: nothing to do.
mlflow run ../../.. --env-manager local -e main -P data=all.csv -P target='paid late' \
  -P model_name=invoices -P cost="$costs" -P classifiers=$families -P trials=20 -P jobs=2

mlflow run ../../.. --env-manager local -e rollback -P model_name=invoices
