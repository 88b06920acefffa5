"""One exception tree. Each class carries its exit code, HTTP status, whether a retry can help, and a default hint.

Foreign exceptions are mapped onto these once, in the adapter that talks to the foreign system.
"""

from __future__ import annotations

from typing import ClassVar


class RetailDemandError(Exception):
    """What failed, while doing what, why, and what to try; base of every error this project raises on purpose."""

    exit_code: ClassVar[int] = 1
    http_status: ClassVar[int] = 500
    retryable: ClassVar[bool] = False
    title: ClassVar[str] = "Internal error"
    default_hint: ClassVar[str] = "This is a bug: run the command again with --verbose and report the trace."

    def __init__(self, what: str, *, doing: str = "", why: str = "", hint: str = "") -> None:
        super().__init__(what)
        self.what = what
        self.doing = doing
        self.why = why
        self.hint = hint or self.default_hint

    def __str__(self) -> str:
        parts = [self.what]
        if self.doing:
            parts.append(f"while {self.doing}")
        if self.why:
            parts.append(f"because {self.why}")
        return " ".join(parts)


class UsageError(RetailDemandError):
    """The command line or the request asks for something that does not exist or cannot be."""

    exit_code = 2
    http_status = 400
    title = "Bad request"
    default_hint = "See --help."


class ConfigurationError(RetailDemandError):
    """A setting, a file or the machine is not as it must be."""

    exit_code = 3
    title = "Configuration error"
    default_hint = "Run `./rd360 doctor`."


class DependencyUnavailable(RetailDemandError):
    """A server that this needs does not answer."""

    exit_code = 4
    http_status = 503
    retryable = True
    title = "Dependency unavailable"
    default_hint = "Run `./rd360 status`, then `./rd360 up`."


class DataGateError(RetailDemandError):
    """A check on data did not hold: nothing was published."""

    exit_code = 5
    http_status = 409
    title = "Data gate"
    default_hint = "The report names the rows; fix their source and run the job again."


class NotPromotedError(RetailDemandError):
    """No candidate passed the promotion gate; the champion stays."""

    exit_code = 6
    http_status = 409
    title = "Not promoted"
    default_hint = "The reasons are in the report: `./rd360 models list`."


class NotFoundError(RetailDemandError):
    """The thing that was asked for is not there."""

    exit_code = 2
    http_status = 404
    title = "Not found"
    default_hint = "Check the identifiers."


class FingerprintMismatch(ConfigurationError):
    """A model, or an online row, is of another feature catalogue than the one that reads it."""

    http_status = 503
    title = "Feature fingerprint mismatch"
    default_hint = "Train on the current catalogue: `./rd360 train`."


class InvalidEvent(RetailDemandError):
    """An event that breaks its contract; `reason` is the short code that dead letters and quarantine carry."""

    http_status = 422
    title = "Invalid event"
    default_hint = "See docs/events.md and the JSON Schemas in docs/schemas/."

    def __init__(self, reason: str, detail: str) -> None:
        super().__init__(f"{reason}: {detail}", doing="decoding an event", why="")
        self.reason = reason
        self.detail = detail
