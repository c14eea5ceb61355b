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
CASES["secret.missing"] = Case(
    facts=Facts(secrets=frozenset({"JWT_SECRET"})),
    fires=(
        told("secret", "secret.missing", "JWT_SECRET is not set"),
        told("python", "KeyError", "KeyError: 'JWT_SECRET'"),
        log("E   KeyError: 'JWT_SECRET'"),
    ),
    silent=(
        told("secret", "secret.empty", "JWT_SECRET is empty"),
        told("python", "KeyError", "KeyError: 'user_id'"),
        log("KeyError: 'OTHER_SECRET'"),
    ),
)
CASES["secret.file-unwritable"] = Case(
    fires=(told("envkit", "secret.file-unwritable", ".env cannot be written: permission denied"),),
    silent=(
        told("secret", "secret.file-open", ".env can be read by others"),
        log("cannot write .env.local: permission denied"),
    ),
)
