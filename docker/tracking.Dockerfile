# MLflow's tracking server and registry. No model is ever loaded here.
FROM python:3.12.1-slim

COPY docker/tracking.txt /tmp/
# The hashes make a changed file in the package index end the build.
RUN pip install --no-cache-dir --require-hashes -r /tmp/tracking.txt

# A new named volume takes owner and mode of the folder it covers, so the server can write to it
# without being root. The id is fixed because an old volume must still fit a newer image.
RUN useradd --uid 10001 --no-create-home mlflow && install --directory --owner mlflow /var/lib/mlflow
COPY docker/basic_auth.ini /etc/mlflow/
USER 10001
WORKDIR /tmp
