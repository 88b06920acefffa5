# Superset in its own environment, whose pins fight with everyone else's. Context: the root of the checkout.

FROM python:3.11.15-slim-bookworm
ENV RD360_HOME=/opt/rd360 UV_LINK_MODE=copy UV_COMPILE_BYTECODE=1
WORKDIR /app
COPY rd360 ./
COPY requirements/uv.txt requirements/superset.txt requirements/
RUN --mount=type=cache,target=/opt/rd360/cache ./rd360 --install superset
COPY infra/superset infra/superset
# a checkout made under a strict umask must still be readable to the user
RUN chmod -R a+rX /app \
    && useradd --uid 10001 --create-home rd360 \
    && mkdir -p /opt/rd360/data/superset \
    && chown -R rd360:rd360 /opt/rd360/data
ENV PYTHONUNBUFFERED=1
WORKDIR /opt/rd360/data/superset
USER rd360
