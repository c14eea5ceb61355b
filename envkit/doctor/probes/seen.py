"""What is seen of one server within one limit, written down as symptoms."""

from __future__ import annotations

import time

from envkit.doctor.model import Source, Symptom
from envkit.doctor.probes.look import Looked
from envkit.doctor.symptoms import from_exception
from envkit.model import ServiceName
from envkit.services.spec import Address

__all__ = ["Notes"]


class Notes:
    """Of a look at one server.

    Args:
        service: Which.
        address: Of the server.
        limit: Seconds for all of it.
        check: Name of the check.

    Attributes:
        where: The server's place, fit for a screen.
        version: As the server says, once it has.
    """

    def __init__(self, service: ServiceName, address: Address, limit: float, check: str) -> None:
        self.address = address
        self.where = address.host if address.host.startswith("/") else address.url_host
        self.symptoms: list[Symptom] = []
        self.version = ""
        self._service = service
        self._end = time.monotonic() + limit
        self._check = check

    @property
    def left(self) -> float:
        """Seconds; never none at all, because some callers take that for no limit."""
        return max(0.01, self._end - time.monotonic())

    def saw(self, source: Source, code: str, text: str, **data: str) -> None:
        """Keep what was said or measured."""
        about = {"host": self.address.host, "port": str(self.address.port), **data}
        self.symptoms.append(
            Symptom(
                source=source,
                code=code,
                text=text,
                service=self._service,
                check=self._check,
                where=self.where,
                data=about,
            )
        )

    def looked(self, detail: str, *, checked: bool = True) -> Looked:
        """The end of the look."""
        return Looked(
            status="pass" if checked else "not-checked",
            detail=detail,
            symptoms=tuple(self.symptoms),
            version=self.version,
        )

    def broke_off(self, error: OSError) -> Looked:
        """The end of a look that came to no answer."""
        if isinstance(error, TimeoutError):
            self.saw("socket", "TIMEOUT", f"{self.where} takes the connection and says nothing")
            return self.looked(f"{self.where} does not answer", checked=False)
        for one in from_exception(error):
            self.saw(one.source, one.code, one.text)
        return self.looked(f"{self.where}: {error}", checked=False)
