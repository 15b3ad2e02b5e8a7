"""Django's settings, all of them from ``console.environment``.

Production-like everywhere: there is no debug mode, so what runs on a laptop is what runs behind a proxy.
"""

from __future__ import annotations

import os
import warnings
from pathlib import Path
from typing import Any

import dj_database_url

from console.data_folder import load_secret_key
from console.environment import Environment
from deployments.languages import offered_languages

SLIPWAY = Environment.parse(os.environ)

BASE_DIR = Path(__file__).resolve().parent.parent

# What deployments and inference_gateway may know of the environment (they do not import console).
SLIPWAY_DATA_DIR: Path = SLIPWAY.data_dir
SLIPWAY_CLUSTER: str = SLIPWAY.cluster
SLIPWAY_KUBERNETES = SLIPWAY.kubernetes
SLIPWAY_INSTANCE_TYPES: str = SLIPWAY.instance_types
SLIPWAY_REGION: str = SLIPWAY.region
SLIPWAY_PUBLIC_URL: str | None = SLIPWAY.public_url
SLIPWAY_ADDRESS: str = SLIPWAY.address
SLIPWAY_LOCAL_COMMANDS: str = SLIPWAY.local_commands
SLIPWAY_HMAC_SHA1: bool = SLIPWAY.hmac_sha1
SLIPWAY_ACCESS_LOG: bool = SLIPWAY.access_log
SLIPWAY_OTLP_ENDPOINT: str | None = SLIPWAY.otlp_endpoint or os.environ.get("OTEL_EXPORTER_OTLP_ENDPOINT") or None
SLIPWAY_METRICS_TOKEN: str | None = SLIPWAY.metrics_token
SLIPWAY_REDIS_URL: str = SLIPWAY.redis_url
SLIPWAY_BOOT_AT = SLIPWAY.boot_at
SLIPWAY_VERSION = "0.1.0"

DEBUG = False
SECRET_KEY = load_secret_key(SLIPWAY)
ALLOWED_HOSTS = SLIPWAY.allowed_hosts
CSRF_TRUSTED_ORIGINS = [SLIPWAY.public_url] if SLIPWAY.public_url else []

INSTALLED_APPS = [
    "django.contrib.auth",
    "django.contrib.contenttypes",
    "django.contrib.sessions",
    "django.contrib.messages",
    "django.contrib.staticfiles",
    "csp",
    "rest_framework",
    "drf_spectacular",
    "deployments",
    "inference_gateway",
    "console",
]

MIDDLEWARE = [
    "console.request_id.RequestIdMiddleware",
    "console.host_header.HostHeaderMiddleware",
    "django.middleware.security.SecurityMiddleware",
    "whitenoise.middleware.WhiteNoiseMiddleware",
    "csp.middleware.CSPMiddleware",
    "django.contrib.sessions.middleware.SessionMiddleware",
    "django.middleware.common.CommonMiddleware",
    "django.middleware.csrf.CsrfViewMiddleware",
    "django.contrib.auth.middleware.AuthenticationMiddleware",
    "console.page_language.PageLanguageMiddleware",
    "django.contrib.messages.middleware.MessageMiddleware",
    "django.middleware.clickjacking.XFrameOptionsMiddleware",
    "console.error_pages.MethodNotAllowedMiddleware",
]

ROOT_URLCONF = "console.urls"
ASGI_APPLICATION = "console.asgi.application"
# REST paths and service addresses have no slash at the end, and a redirect would lose a POST's body.
APPEND_SLASH = False

TEMPLATES = [
    {
        "BACKEND": "django.template.backends.django.DjangoTemplates",
        "DIRS": [BASE_DIR / "templates"],
        "APP_DIRS": True,
        "OPTIONS": {
            "context_processors": [
                "django.template.context_processors.request",
                "django.contrib.auth.context_processors.auth",
                "django.contrib.messages.context_processors.messages",
                "console.page_context.page_context",
            ]
        },
    }
]


def _database() -> dict[str, Any]:
    if SLIPWAY.database_file is None:
        return dict(dj_database_url.parse(SLIPWAY.database_url, conn_health_checks=True))
    # Several processes write. Measured with 6 writers of 150 read-then-write transactions: 26 "database is
    # locked" with the defaults, 316 with WAL alone, none with WAL and immediate transactions.
    return {
        "ENGINE": "django.db.backends.sqlite3",
        "NAME": SLIPWAY.database_file,
        "CONN_MAX_AGE": None,
        "OPTIONS": {
            "timeout": 20,
            "transaction_mode": "IMMEDIATE",
            "init_command": "PRAGMA journal_mode=WAL; PRAGMA synchronous=NORMAL;",
        },
    }


DATABASES = {"default": _database()}
DEFAULT_AUTO_FIELD = "django.db.models.BigAutoField"

CACHES = {
    "default": {
        "BACKEND": "django.core.cache.backends.redis.RedisCache",
        "LOCATION": SLIPWAY.redis_url,
        "OPTIONS": {
            "socket_timeout": 5,
            "socket_connect_timeout": 2,
            "pool_class": "console.cache_pool.SharedPool",
        },
    }
}
CHANNEL_LAYERS = {
    "default": {
        # Not the layer with queues: it loses a message that arrives in the moment in which a tab of the same server
        # closes, and a form's post is such a moment (9 of 200 in tests/console/test_hints.py).
        "BACKEND": "console.channel_layer.WaitingLayer",
        "CONFIG": {
            "hosts": [{"address": SLIPWAY.redis_url, "socket_timeout": 5, "socket_connect_timeout": 2}],
            # What is published crosses the databases of one Redis; two Slipways have a database each.
            "prefix": f"slipway:{SLIPWAY.redis_database}:channels",
        },
    }
}

# Celery. Tasks carry ids and their results are rows of the database, so nothing is kept in the broker.
CELERY_BROKER_URL = SLIPWAY.celery_broker_url
CELERY_TASK_IGNORE_RESULT = True
CELERY_TASK_SERIALIZER = "json"
CELERY_ACCEPT_CONTENT = ["json"]
CELERY_TIMEZONE = "UTC"
CELERY_WORKER_HIJACK_ROOT_LOGGER = False
CELERY_WORKER_PREFETCH_MULTIPLIER = 1
CELERY_BROKER_CONNECTION_RETRY_ON_STARTUP = True
CELERY_BROKER_CONNECTION_MAX_RETRIES = None
CELERY_BROKER_TRANSPORT_OPTIONS = {
    "global_keyprefix": "slipway:celery:",
    "socket_timeout": 10,
    "socket_connect_timeout": 2,
    "health_check_interval": 5,
}
# A publish happens inside a person's request: after a second without a broker the sweep takes over.
CELERY_TASK_PUBLISH_RETRY_POLICY = {"max_retries": 2, "interval_start": 0, "interval_step": 0.2, "interval_max": 0.5}
# The others have 0, which comes first: a thousand services that move at once must not keep the sweep waiting until it
# has expired.
CELERY_TASK_ROUTES = {
    "deployments.tasks.reconcile_service": {"priority": 9},
    "deployments.tasks.look_where_asked": {"priority": 9},
}
CELERY_BEAT_SCHEDULE = {
    "sweep": {"task": "deployments.tasks.sweep", "schedule": 2.0, "options": {"expires": 2.0}},
    "tidy": {"task": "deployments.tasks.tidy", "schedule": 30.0, "options": {"expires": 30.0}},
    "prune": {"task": "deployments.tasks.prune", "schedule": 300.0, "options": {"expires": 300.0}},
    "tidy-chats": {"task": "inference_gateway.tasks.tidy", "schedule": 300.0, "options": {"expires": 300.0}},
    "scrape-engines": {
        "task": "inference_gateway.tasks.scrape_engines",
        "schedule": 15.0,
        "options": {"expires": 15.0},
    },
    "fold-samples": {"task": "inference_gateway.tasks.fold_samples", "schedule": 60.0, "options": {"expires": 60.0}},
}

AUTH_PASSWORD_VALIDATORS = [
    {"NAME": f"django.contrib.auth.password_validation.{name}"}
    for name in (
        "UserAttributeSimilarityValidator",
        "MinimumLengthValidator",
        "CommonPasswordValidator",
        "NumericPasswordValidator",
    )
]
AUTHENTICATION_BACKENDS = ["deployments.accounts.PeopleBackend"]
LOGIN_URL = "/sign-in"
LOGIN_REDIRECT_URL = "/"
LOGOUT_REDIRECT_URL = "/sign-in"

# In the database: a restart of Valkey must not sign everybody out.
SESSION_ENGINE = "django.contrib.sessions.backends.db"
SESSION_COOKIE_AGE = 7 * 24 * 3600
SESSION_COOKIE_NAME = "slipway_session"
SESSION_COOKIE_SECURE = SLIPWAY.is_https
SESSION_COOKIE_SAMESITE = "Lax"
CSRF_COOKIE_NAME = "slipway_csrf"
CSRF_COOKIE_SECURE = SLIPWAY.is_https
CSRF_COOKIE_SAMESITE = "Lax"
LANGUAGE_COOKIE_NAME = "slipway_language"
LANGUAGE_COOKIE_SECURE = SLIPWAY.is_https
CSRF_FAILURE_VIEW = "console.error_pages.csrf_failure"
MESSAGE_STORAGE = "django.contrib.messages.storage.session.SessionStorage"

X_FRAME_OPTIONS = "DENY"
SECURE_CONTENT_TYPE_NOSNIFF = True
SECURE_REFERRER_POLICY = "same-origin"
SECURE_CROSS_ORIGIN_OPENER_POLICY = "same-origin"
SECURE_HSTS_SECONDS = 31_536_000 if SLIPWAY.is_https else 0
# The proxy that ends TLS redirects people; redirecting here would also catch probes and programs that reach
# this port directly. Its other names are not Slipway's, so neither subdomains nor the preload list.
SILENCED_SYSTEM_CHECKS = ["security.W005", "security.W008", "security.W021"]
CONTENT_SECURITY_POLICY = {
    "DIRECTIVES": {
        "default-src": ["'self'"],
        "img-src": ["'self'", "data:"],
        "object-src": ["'none'"],
        "base-uri": ["'none'"],
        "form-action": ["'self'"],
        "frame-ancestors": ["'none'"],
    }
}
# A service document with a long script stays far below; files never travel through Django.
DATA_UPLOAD_MAX_MEMORY_SIZE = 4 * 1024 * 1024

LANGUAGE_CODE = "en"
LOCALE_PATHS = [BASE_DIR / "locale"]
# Whatever was translated far enough when this was set up.
LANGUAGES = [(language.code, language.name) for language in offered_languages(LOCALE_PATHS[0])]
USE_I18N = True
USE_TZ = True
TIME_ZONE = "UTC"

STATIC_URL = "static/"
STATIC_ROOT = BASE_DIR / "static" / "collected"
# dist: what esbuild made of static/src; public: files served as they are (favicon, pictures).
STATICFILES_DIRS = [path for path in (BASE_DIR / "static" / "dist", BASE_DIR / "static" / "public") if path.is_dir()]
# Names with a digest in them never change their content: Django's (12 letters) and esbuild's (8).
WHITENOISE_IMMUTABLE_FILE_TEST = r"^.+(\.[0-9a-f]{12}|-[0-9A-Z]{8})\..+$"
# WhiteNoise answers with files read in a thread; they are small, so collecting one first does no harm.
warnings.filterwarnings("ignore", message="StreamingHttpResponse must consume synchronous iterators")
STORAGES = {
    "default": {"BACKEND": "django.core.files.storage.FileSystemStorage"},
    "staticfiles": {"BACKEND": "whitenoise.storage.CompressedManifestStaticFilesStorage"},
}

REST_FRAMEWORK = {
    "DEFAULT_SCHEMA_CLASS": "drf_spectacular.openapi.AutoSchema",
    "DEFAULT_AUTHENTICATION_CLASSES": [
        "deployments.api.authentication.ProgramAuthentication",
        "deployments.api.authentication.SignatureAuthentication",
        "rest_framework.authentication.SessionAuthentication",
    ],
    "DEFAULT_PERMISSION_CLASSES": ["rest_framework.permissions.IsAuthenticated"],
    "DEFAULT_CONTENT_NEGOTIATION_CLASS": "deployments.api.rendering.AlwaysJson",
    "DEFAULT_RENDERER_CLASSES": ["deployments.api.rendering.EnvelopeRenderer"],
    "DEFAULT_PARSER_CLASSES": ["rest_framework.parsers.JSONParser"],
    "EXCEPTION_HANDLER": "deployments.api.errors.answer_error",
}
SPECTACULAR_SETTINGS = {
    "TITLE": "Slipway",
    "DESCRIPTION": "REST control plane, in the paths and field names of PAI-EAS.",
    "VERSION": SLIPWAY_VERSION,
    "SERVE_INCLUDE_SCHEMA": False,
    "OAS_VERSION": "3.1.0",
}

LOGGING = {
    "version": 1,
    "disable_existing_loggers": False,
    "formatters": {"line": {"()": "console.log_lines.LineFormatter"}, "bare": {"format": "%(message)s"}},
    "filters": {"not_ready": {"()": "console.log_lines.NotReadyFilter"}},
    "handlers": {
        "stderr": {"class": "logging.StreamHandler", "formatter": "line", "filters": ["not_ready"]},
        "bare": {"class": "logging.StreamHandler", "formatter": "bare"},
    },
    "root": {"handlers": ["stderr"], "level": "INFO"},
    "loggers": {
        "django": {"handlers": [], "level": "INFO", "propagate": True},
        "django.server": {"handlers": [], "level": "INFO", "propagate": True},
        # One line for each task twice every two seconds would bury everything else.
        "celery.app.trace": {"level": "WARNING"},
        "celery.worker.strategy": {"level": "WARNING"},
        "celery.beat": {"level": "WARNING"},
        "httpx": {"level": "WARNING"},
        # Lines of JSON, one for each request (inference_gateway.access_log).
        "slipway.access": {"handlers": ["bare"], "level": "INFO", "propagate": False},
    },
}
