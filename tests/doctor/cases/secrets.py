"""What is a fault of a secret is judged in tests/secrets; here each verdict is its own finding."""

from envkit.doctor.model import Facts
from tests.doctor.case import Case, log, told

_OTHERS = {
    "secret.missing": "secret.empty",
    "secret.empty": "secret.missing",
    "secret.whitespace": "secret.quoted",
    "secret.quoted": "secret.whitespace",
    "secret.placeholder": "secret.short",
    "secret.short": "secret.low-entropy",
    "secret.low-entropy": "secret.short",
    "secret.duplicate": "secret.placeholder",
    "secret.malformed": "secret.production",
    "secret.production": "secret.malformed",
    "secret.file-tracked": "secret.file-open",
    "secret.file-open": "secret.file-tracked",
}
CASES = {
    slug: Case(
        fires=(told("secret", slug, "JWT_SECRET is not as it should be"),),
        silent=(
            told("secret", other, "JWT_SECRET is not as it should be"),
            log(f"{slug.replace('.', ' ')}: a text of somebody else's"),
        ),
    )
    for slug, other in _OTHERS.items()
}
CASES["secret.file-unwritable"] = Case(
    fires=(told("envkit", "secret.file-unwritable", ".env cannot be written: permission denied"),),
    silent=(
        told("secret", "secret.file-open", ".env can be read by others"),
        log("cannot write .env.local: permission denied"),
    ),
)
# What applications, compose and the images' entrypoints say of themselves.
CASES["secret.missing"] = Case(
    facts=Facts(secrets=frozenset({"JWT_SECRET"})),
    fires=(
        *CASES["secret.missing"].fires,
        told("python", "KeyError", "KeyError: 'JWT_SECRET'"),
        log("E   KeyError: 'JWT_SECRET'"),
        log(
            '  File "/app/settings.py", line 3, in <module>\n    URL = os.environ["REDIS_URL"]\n'
            '  File "<frozen os>", line 714, in __getitem__\n'
            "KeyError: 'REDIS_URL'"
        ),
        log(
            "/usr/lib/python3.12/os.py:714: in __getitem__\n    raise KeyError(key) from None\n"
            "E   KeyError: 'DATABASE_URL'"
        ),
        log("django.core.exceptions.ImproperlyConfigured: Set the SECRET_KEY environment variable"),
        log(
            "decouple.UndefinedValueError: KEY not found. Declare it as envvar or define a default"
        ),
        log('environs.exceptions.EnvError: Environment variable "KEY" not set'),
        log(
            "pydantic_core._pydantic_core.ValidationError: 2 validation errors for Settings\n"
            "database_url\n  Field required [type=missing, input_value={}, input_type=dict]"
        ),
        log("required variable POSTGRES_PASSWORD is missing a value: set it"),
        log(
            r'level=warning msg="The \"DB_PASSWORD\" variable is not set. '
            r'Defaulting to a blank string."'
        ),
        log("Error: Database is uninitialized and superuser password is not specified."),
    ),
    silent=(
        *CASES["secret.missing"].silent,
        told("python", "KeyError", "KeyError: 'user_id'"),
        log("KeyError: 'OTHER_SECRET'"),
        log("E   KeyError: 'HTTP_HOST'"),
        log("/app/cart.py:3: in __getitem__\n    raise KeyError(key)\nE   KeyError: 'ITEM'"),
        log(
            "pydantic_core._pydantic_core.ValidationError: 1 validation error for UserIn\n"
            "email\n  Field required [type=missing, input_value={}, input_type=dict]"
        ),
    ),
)
CASES["secret.empty"] = Case(
    fires=(
        *CASES["secret.empty"].fires,
        log(
            "django.core.exceptions.ImproperlyConfigured: The SECRET_KEY setting must not be empty."
        ),
    ),
    silent=CASES["secret.empty"].silent,
)
