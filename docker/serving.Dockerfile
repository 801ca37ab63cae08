# MLflow's model server and the libraries of the models, and nothing else: a registered model carries
# its own code and is fetched when the server starts, so a new version needs no new image.
FROM python:3.12.1-slim

# With any value in it, what verifies signatures is installed too.
ARG SIGNED=""
COPY docker/serving.txt requirements-signing.txt /tmp/
# The hashes make a changed file in the package index end the build. The libraries' own tests would be
# an eighth of the image.
RUN pip install --no-cache-dir --require-hashes -r /tmp/serving.txt ${SIGNED:+-r /tmp/requirements-signing.txt} \
 && find /usr/local/lib/python3*/site-packages -type d -name tests -prune -exec rm -r {} +

RUN useradd --uid 10001 --no-create-home mlflow
COPY docker/serve.py docker/follow.py docker/registry.py docker/ping.py /srv/
# the one module that tells whether a version's files are those that were registered
COPY custom_model/artifact.py /srv/custom_model/
USER 10001
WORKDIR /tmp
CMD ["python", "/srv/serve.py"]
