"""Superset on PostgreSQL, served by gunicorn with one process of several threads."""

from __future__ import annotations

from infra.stack import oneshot
from infra.stack.airflow import lock_hash
from infra.stack.place import Place
from infra.stack.postgres import has_table

USER = "admin"
CREATE_ADMIN = """\
import os
from superset.app import create_app
app = create_app()
with app.app_context():
    manager = app.appbuilder.sm
    user, password = manager.find_user("admin"), os.environ["RD360_SUPERSET_PASSWORD"]
    if user is None:
        assert manager.add_user("admin", "RetailDemand360", "Admin", "admin@localhost", manager.find_role("Admin"), password)
    else:
        manager.reset_password(user.id, password)
"""


def command(place: Place) -> list[str]:
    """Starts the server."""
    return [
        *(str(place.venv_bin("superset", "python")), "-m", "gunicorn", "superset.app:create_app()"),
        *("--bind", f"127.0.0.1:{place.settings.port(8088)}", "--workers", "1", "--worker-class", "gthread", "--threads", "8"),
        *("--timeout", "120", "--worker-tmp-dir", str(place.data("superset"))),
        "--no-control-socket",  # it would be a file in the user's own home
    ]


def environment(place: Place) -> dict[str, str]:
    """Where its configuration is, and what that configuration reads."""
    settings = place.settings
    return {
        "SUPERSET_CONFIG_PATH": str(place.checkout / "infra" / "superset" / "superset_config.py"),
        "SUPERSET_HOME": str(place.data("superset")),
        "FLASK_APP": "superset.app:create_app()",
        "RD360_SUPERSET_SECRET_KEY": settings.secret("superset_secret_key"),
        "RD360_SUPERSET_DATABASE_URI": settings.postgres_url("superset", "postgresql+psycopg2"),
        "SCARF_ANALYTICS": "false",
        "HOME": str(place.data("superset")),  # its libraries leave files there
    }


def prepare(place: Place) -> None:
    """Migrates the database, makes the roles and the administrator, once for each version."""
    place.data("superset").mkdir(parents=True, exist_ok=True)
    stamp = place.data("superset") / ".initialised"
    wanted = lock_hash(place, "superset")
    if stamp.exists() and stamp.read_text(encoding="utf-8") == wanted and has_table(place, "superset", "ab_user"):
        return
    env = place.environment("superset", ours=False) | environment(place)
    python = str(place.venv_bin("superset", "python"))
    program = str(place.venv_bin("superset", "superset"))
    oneshot.run(place, "superset", [python, program, "db", "upgrade"], env, place.data("superset"))
    oneshot.run(place, "superset", [python, program, "init"], env, place.data("superset"))
    # not `fab create-admin`: it takes the password on its command line, where everyone can read it
    admin = env | {"RD360_SUPERSET_PASSWORD": place.settings.secret("superset_password")}
    oneshot.run(place, "superset", [python, "-c", CREATE_ADMIN], admin, place.data("superset"))
    stamp.write_text(wanted, encoding="utf-8")
