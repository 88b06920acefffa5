"""Superset's configuration. Superset loads this file in its own environment, so what it needs comes by variables."""

from __future__ import annotations

import os

SECRET_KEY = os.environ["RD360_SUPERSET_SECRET_KEY"]
SQLALCHEMY_DATABASE_URI = os.environ["RD360_SUPERSET_DATABASE_URI"]
WTF_CSRF_ENABLED = True
TALISMAN_ENABLED = False  # it forces HTTPS; this server listens on loopback
