"""Django's settings for tests: the real ones, on a data folder of this test run.

``TEST_DATABASE_URL`` runs the same tests on PostgreSQL, ``TEST_REDIS_URL`` on a Redis (``tests.shared_backends``).
Nothing else of the caller's environment gets in.
"""

from __future__ import annotations

import atexit
import os
import shutil
import tempfile
from pathlib import Path

from console.environment import SETTINGS
from tests.shared_backends import release_redis, take_redis

for setting in SETTINGS:
    os.environ.pop(setting.name, None)
TEST_DATA_DIR = Path(tempfile.mkdtemp(prefix="slipway-tests-"))
atexit.register(shutil.rmtree, TEST_DATA_DIR, ignore_errors=True)
os.environ["SLIPWAY_DATA_DIR"] = str(TEST_DATA_DIR)
if os.environ.get("TEST_DATABASE_URL"):
    os.environ["DATABASE_URL"] = os.environ["TEST_DATABASE_URL"]
if broker := take_redis():
    os.environ["REDIS_URL"] = broker
    atexit.register(release_redis, broker)

from console.catalogs import compile_all

compile_all()  # the languages are what is compiled when the settings are read

from console.settings import *  # noqa: F403
from console.settings import DATABASES, SLIPWAY, STATIC_ROOT, STORAGES

if SLIPWAY.database_file is not None:
    # A file, as in production: Django's default for tests, a database in memory, has other locks.
    DATABASES["default"]["TEST"] = {"NAME": TEST_DATA_DIR / "test.sqlite3"}
PASSWORD_HASHERS = ["django.contrib.auth.hashers.MD5PasswordHasher"]
if not (STATIC_ROOT / "staticfiles.json").exists():
    STORAGES["staticfiles"] = {"BACKEND": "django.contrib.staticfiles.storage.StaticFilesStorage"}
