"""The MLflow server: experiments and registry in PostgreSQL, artifacts in the S3 store, which it reads and writes for clients."""

from __future__ import annotations

from infra.stack.place import Place


def command(place: Place) -> list[str]:
    """Starts the server. What is secret is in the environment: command lines can be read by everyone on the machine."""
    destination = f"s3://{place.settings.mlflow_bucket}/artifacts"
    return [
        *(str(place.venv_bin("platform", "python")), "-m", "mlflow", "server"),
        *("--host", "127.0.0.1", "--port", str(place.settings.port(5000)), "--workers", "1"),
        *("--serve-artifacts", "--artifacts-destination", destination, "--default-artifact-root", "mlflow-artifacts:/"),
    ]


def prepare(place: Place) -> None:
    """Makes the folder it may leave files in."""
    place.data("mlflow").mkdir(parents=True, exist_ok=True)


def environment(place: Place) -> dict[str, str]:
    """Its database and the keys of the store."""
    settings = place.settings
    return {
        "MLFLOW_BACKEND_STORE_URI": settings.postgres_url("mlflow"),
        "MLFLOW_S3_ENDPOINT_URL": settings.s3,
        "AWS_ACCESS_KEY_ID": settings.secret("s3_access_key"),
        "AWS_SECRET_ACCESS_KEY": settings.secret("s3_secret_key"),
        "AWS_DEFAULT_REGION": settings.s3_region,
        "MLFLOW_SERVER_ENABLE_JOB_EXECUTION": "false",  # its job runners double the memory and nothing here uses them
        "MLFLOW_DISABLE_TELEMETRY": "true",
        "DO_NOT_TRACK": "true",
        "HOME": str(place.data("mlflow")),  # it notes an installation id there
    }
