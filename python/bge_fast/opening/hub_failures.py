"""Why a hub gave no model, in words, and what to do."""

import errno
import re
from collections.abc import Iterator

_ON_DISK = (
    errno.ENOSPC,
    errno.EDQUOT,
    errno.EACCES,
    errno.EPERM,
    errno.EROFS,
    errno.ENOTDIR,
    errno.EISDIR,
    errno.ENAMETOOLONG,
)
_OF_STATUS = {
    401: ("does not accept the token (401)", "Set HF_TOKEN to a valid one, or unset it for a public model"),
    403: (
        "denies access (403)",
        "The token may not read it, or a proxy on the way forbids it: set HF_TOKEN or HF_ENDPOINT",
    ),
    404: ("does not have it (404)", "Check the name, and that HF_ENDPOINT is a hub that has this model"),
    407: ("is behind a proxy that wants a login (407)", "Put user and password into HTTPS_PROXY"),
    429: ("limits how often it is asked (429)", "Wait a while, or set HF_TOKEN: the limit is higher with one"),
}
_UNAVAILABLE = 500


def failure(error: BaseException, endpoint: str, seconds: float) -> str:
    """One sentence for what went wrong at ``endpoint``, and one for the way out."""
    where = without_password(endpoint)
    reasons = list(_reasons(error))
    if status := next((status for one in reasons if (status := _status(one))), None):
        said, remedy = _OF_STATUS.get(status, (f"answered with status {status}", "Check HF_ENDPOINT and the network"))
        if status >= _UNAVAILABLE:
            said, remedy = f"is out of order ({status})", "Try again later, or set HF_ENDPOINT to a mirror"
        return f"{where} {said}. {remedy}"
    for one in reasons:
        if isinstance(one, OSError) and one.errno in _ON_DISK:
            return f"it cannot be written into the cache: {one.strerror} ({one.filename}). Set HF_HOME or cache_dir"
    way_out = "Check the network and HF_ENDPOINT, or pass a folder; with a proxy set HTTPS_PROXY"
    if any(_is_timeout(one) for one in reasons):
        return f"{where} did not answer within {seconds:g} s. {way_out}"
    if any(isinstance(one, ValueError | KeyError | TypeError) for one in reasons):
        return f"{where} does not answer as a hub does; a login page of the network may be in between. {way_out}"
    return f"{where} cannot be reached ({_words(reasons[-1])}). {way_out}"


def without_password(address: str) -> str:
    """An address as it may be shown."""
    return re.sub(r"//[^/@]*@", "//", address)


def _reasons(error: BaseException | None) -> Iterator[BaseException]:
    while error is not None:
        yield error
        error = error.__cause__ or error.__context__


def _status(error: BaseException) -> int | None:
    status = getattr(getattr(error, "response", None), "status_code", None)
    return status if isinstance(status, int) else None


def _is_timeout(error: BaseException) -> bool:
    # Those of the client's own library, which differs from version to version.
    return isinstance(error, TimeoutError) or any("Timeout" in one.__name__ for one in type(error).__mro__)


def _words(error: BaseException) -> str:
    return without_password(f"{str(error) or type(error).__name__:.120}")
