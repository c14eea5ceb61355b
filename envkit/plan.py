"""Which backend serves a service, and why: a pure function of settings and host facts."""

from __future__ import annotations

from msgspec import Struct, structs

from envkit.config.targets import VARIABLES
from envkit.dsn import FORMS, read
from envkit.errors import (
    AttachRefused,
    BackendNone,
    EnvkitError,
    ExtraMissing,
    ImageMissing,
    UnavailableError,
    VersionUnavailable,
    from_dict,
)
from envkit.guard import why_not
from envkit.host import HostFacts, Target
from envkit.model import BackendName, ServiceName, ServiceSettings, Settings
from envkit.recipes import FoundImage, FoundProgram
from envkit.versions import is_of, numbers

__all__ = ["Choice", "choose"]


class Choice(Struct, frozen=True, kw_only=True):
    """The plan for one service.

    Attributes:
        why: In words, for status and header.
        program: For embedded.
        image: For docker; one that is not here is to be fetched.
        target: For attach.
    """

    service: ServiceName
    backend: BackendName
    why: str
    program: FoundProgram | None = None
    image: FoundImage | None = None
    target: Target | None = None


def choose(service: ServiceName, settings: Settings, facts: HostFacts) -> Choice:
    """Plan one service.

    Args:
        service: The one to plan.
        settings: Of the project.
        facts: What was seen on this machine.

    Raises:
        AttachRefused: What runs already does not look like a test's.
        BackendNone: There is no way to bring it up here.
        DsnMalformed: The URL of what runs already cannot be understood.
        DockerDenied, DockerDown: docker was asked for, and no engine can be used.
        ExtraMissing: embedded was asked for, and no program for the service is on this machine.
        ImageMissing: docker was asked for, its image is not here and may not be fetched.
        VersionUnavailable: There are programs, but none of the version asked for.
    """
    match settings.backend_of(service):
        case "embedded":
            return _embedded(service, settings, facts)
        case "docker":
            return _docker(service, settings, facts)
        case "attach":
            return _attach(service, settings, facts)
    return _auto(service, settings, facts)


def _auto(service: ServiceName, settings: Settings, facts: HostFacts) -> Choice:
    if facts.target is not None:
        return _attach(service, settings, facts)
    engine = facts.engine
    usable = engine is not None and not engine.problem
    named = settings.of(service).image
    if usable and (named or _local_image(service, settings, facts) is not None):
        return _docker(service, settings, facts)
    try:
        choice = _embedded(service, settings, facts)
        aside = f"; image {named} set aside: no engine to run it" if named else ""
        return structs.replace(choice, why=choice.why + aside)
    except UnavailableError as error:
        if usable and settings.docker.pull != "never":
            return _docker(service, settings, facts)
        if isinstance(error, VersionUnavailable):
            raise
    why_not = engine.problem.get("observed", "") if engine else "no container engine was looked for"
    raise BackendNone(
        f"there is no way to bring {service} up here: no server is installed, and "
        + (why_not or f"the engine has no image for it and pull is {settings.docker.pull!r}"),
        hint=f"pip install 'envkit-services[embedded]', or start a container engine, "
        f"or name a running server with ENVKIT_{service.upper()}_URL",
    )


def _embedded(service: ServiceName, settings: Settings, facts: HostFacts) -> Choice:
    asked = settings.backend_of(service)
    if not facts.programs:
        raise ExtraMissing(
            f"{service}: no server is installed here: "
            "neither the wheels of the 'embedded' extra nor a program on PATH",
            hint="pip install 'envkit-services[embedded]'",
        )
    found = facts.programs
    version = settings.of(service).version
    if not version:
        first = found[0]
        return Choice(
            service=service,
            backend="embedded",
            why=f"{_origin(first)}, backend {asked}",
            program=first,
        )
    fitting = [one for one in found if is_of(one.version, version)]
    if not fitting:
        have = ", ".join(f"{one.version} ({_origin(one)})" for one in found)
        raise VersionUnavailable(
            f"{service}: version {version!r} was asked for; here there is {have}",
            hint=f'set version = "{found[0].version.split(".")[0]}" in [tool.envkit.{service}], '
            f"or put a server of version {version} on PATH",
        )
    # What the user installed under the version asked for is meant more than what a wheel brings.
    fitting.sort(key=lambda one: one.program.origin != "path")
    return Choice(
        service=service,
        backend="embedded",
        why=f"{_origin(fitting[0])}, version {version} asked for",
        program=fitting[0],
    )


def _docker(service: ServiceName, settings: Settings, facts: HostFacts) -> Choice:
    engine = facts.engine
    if engine is None:
        raise BackendNone(f"{service}: no container engine was looked for", hint="docker info")
    if engine.problem:
        raise _with_hint(
            from_dict(engine.problem),
            f"{from_dict(engine.problem).hint}; or the backend embedded, which needs no engine",
        )
    asked = settings.backend_of(service)
    local = _local_image(service, settings, facts)
    if local is not None:
        made = "built by envkit" if local.built else "on this machine"
        why = f"image {local.reference}, {made}, backend {asked}"
        return Choice(service=service, backend="docker", why=why, image=local)
    name = facts.image
    if settings.docker.pull == "never":
        raise ImageMissing(
            f"{service}: the image {name} is not on this machine, and pull is 'never'",
            hint=_how_to_get(name, settings.of(service)),
        )
    return Choice(
        service=service,
        backend="docker",
        why=f"image {name}, pulled, backend {asked}",
        image=FoundImage(reference=name),
    )


def _local_image(service: ServiceName, settings: Settings, facts: HostFacts) -> FoundImage | None:
    """The image to use without asking a registry, if there is one.

    The official one comes first. Those that ``envkit images build`` made stand in for it where it
    is not here, unless an image was named: then only that one will do.
    """
    assert facts.engine is not None
    if settings.docker.pull == "always":
        return None
    for image in facts.engine.images:
        if image.reference == facts.image:
            return image
    if settings.of(service).image:
        return None
    version = settings.of(service).version
    built = [
        image
        for image in facts.engine.images
        if image.built and (not version or is_of(image.version, version))
    ]
    # The ready variant starts faster, the newest version is what no version means.
    built.sort(key=lambda image: (numbers(image.version), image.reference.endswith("-ready")))
    return built[-1] if built else None


def _attach(service: ServiceName, settings: Settings, facts: HostFacts) -> Choice:
    if facts.target is None:
        raise BackendNone(
            f"{service}: the backend 'attach' was asked for, and nothing says where it runs: "
            f"neither ENVKIT_{service.upper()}_URL, nor url in [tool.envkit.{service}], nor "
            f"{VARIABLES[service]} in the environment, nor a container of this project's compose "
            "file",
            hint=f"export ENVKIT_{service.upper()}_URL={FORMS[service].example}, "
            "or choose another backend",
        )
    target = read(service, facts.target.url, facts.target.origin)
    reason = why_not(target, settings.attach.allow)
    if reason:
        database = f"/{target.database}" if target.database else ""
        raise AttachRefused(
            f"{service}: {target.where}{database} ({facts.target.origin}) does not look like a "
            f"test's: {reason}",
            hint=f'if tests may create and drop databases there: allow = ["{target.where}'
            f'{database}"] in [tool.envkit.attach]; else choose another backend',
        )
    return Choice(
        service=service,
        backend="attach",
        why=f"attached to {target.where} ({facts.target.origin})",
        target=facts.target,
    )


def _how_to_get(image: str, settings: ServiceSettings) -> str:
    pull = f"docker pull {image}"
    if settings.image or settings.version:
        return f"{pull}, or leave version and image to what: envkit images build"
    return f"{pull}, or build one from wheels with: envkit images build"


def _with_hint(error: EnvkitError, hint: str) -> EnvkitError:
    return type(error)(error.observed, hint=hint.removeprefix("; "), detail=error.detail)


def _origin(found: FoundProgram) -> str:
    if found.program.origin == "path":
        return f"{found.path}"
    return f"{found.program.distribution} wheel"
