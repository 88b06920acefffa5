"""Superset's configuration. Superset loads this file in its own environment, so what it needs comes by variables."""

from __future__ import annotations

import os

SECRET_KEY = os.environ["RD360_SUPERSET_SECRET_KEY"]
SQLALCHEMY_DATABASE_URI = os.environ["RD360_SUPERSET_DATABASE_URI"]
SQLALCHEMY_ENGINE_OPTIONS = {"pool_pre_ping": True}  # the database may have been restarted in between
WTF_CSRF_ENABLED = True
TALISMAN_ENABLED = False  # it forces HTTPS; this server listens on loopback
SESSION_COOKIE_SAMESITE = "Lax"
RATELIMIT_STORAGE_URI = "memory://"  # one process; without it Superset warns at each start
SQLLAB_CTAS_NO_LIMIT = False
ROW_LIMIT = 10_000
