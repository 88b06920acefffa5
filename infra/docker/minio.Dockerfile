# MinIO from source: its makers publish no images any more and have removed the old ones from Docker Hub. AGPL-3.0: the image is
# built where it runs, and nothing of it is part of this project.

FROM golang:1.26.8-bookworm AS build
ENV CGO_ENABLED=0
# the last commit before the project was archived; infra/stack/objectstore.py builds the same
RUN go install github.com/minio/minio@v0.0.0-20260212201848-7aac2a2c5b7c

FROM busybox:1.37.0-musl
COPY --from=build /go/bin/minio /usr/local/bin/minio
# a named volume takes the owner of the folder that it is mounted on
RUN adduser -D -u 10001 minio \
    && mkdir -p /opt/rd360/data/minio /opt/rd360/run/minio-certs \
    && chown -R minio:minio /opt/rd360
USER minio
