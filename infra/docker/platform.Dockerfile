# Two images of this checkout. Context: the root of the checkout.
#   platform  the command line, the stream worker, the API and MLflow, with Java and Spark's jars
#   airflow   platform with Airflow's own environment and the DAGs, whose tasks are `rd360` commands
# Environments come from the hashed locks by the shell front, jars by the jar lock: what runs here is what runs in the local stack.

FROM python:3.11.15-slim-bookworm AS environment
ENV RD360_HOME=/opt/rd360 UV_LINK_MODE=copy UV_COMPILE_BYTECODE=1
# the directory of manual pages is missing from slim images, and Java's package fails without it
RUN mkdir -p /usr/share/man/man1 \
    && apt-get update \
    && apt-get install -y --no-install-recommends openjdk-17-jre-headless \
    && rm -rf /var/lib/apt/lists/*
WORKDIR /app
COPY rd360 ./
COPY requirements/uv.txt requirements/platform.txt requirements/
RUN --mount=type=cache,target=/opt/rd360/cache ./rd360 --install platform

FROM environment AS airflow-environment
COPY requirements/airflow.txt requirements/
RUN --mount=type=cache,target=/opt/rd360/cache ./rd360 --install airflow

FROM environment AS jars
COPY contracts contracts
COPY infra/__init__.py infra/jars.lock infra/
COPY infra/stack infra/stack
COPY infra/compose infra/compose
RUN PYTHONPATH=/app /opt/rd360/venvs/platform/bin/python -m infra.compose.prepare spark-jars

FROM environment AS platform
# a named volume takes the owner of the folder that it is mounted on
RUN useradd --uid 10001 --create-home rd360 \
    && mkdir -p /opt/rd360/data /opt/rd360/logs /opt/rd360/run \
    && chown rd360:rd360 /opt/rd360/data /opt/rd360/logs /opt/rd360/run
COPY --from=jars /opt/rd360/jars /opt/rd360/jars
COPY contracts contracts
COPY featurestore featurestore
COPY streams streams
COPY lake lake
COPY training training
COPY serving serving
COPY infra infra
COPY dags dags
COPY requirements requirements
# a checkout made under a strict umask must still be readable to the user
RUN chmod -R a+rX /app \
    && /opt/rd360/venvs/platform/bin/python -m compileall -q /app \
    && ln -s /app/rd360 /usr/local/bin/rd360
ENV PYTHONUNBUFFERED=1 OMP_NUM_THREADS=1
# not /app: programs that are not ours must not find our packages beside them
WORKDIR /opt/rd360/data
USER rd360

FROM platform AS airflow
COPY --from=airflow-environment /opt/rd360/venvs/airflow /opt/rd360/venvs/airflow
