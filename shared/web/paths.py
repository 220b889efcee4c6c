"""Where a person wanted to go, as the browser says it: only ever to our own pages."""

from urllib.parse import urlsplit

from starlette.requests import Request

LONGEST = 2000
ENTRY = ("/login", "/logout", "/first")


def own_path(text: str, otherwise: str = "/") -> str:
    r"""Return `text` where it is a path of our own, such as /worklist?tier=stat, else `otherwise`.

    Browsers take //host and /\host for another machine, and leave tabs and line ends out before they look.
    It may go into a header, which holds no more than ASCII.
    """
    fit = text.startswith("/") and not text.startswith("//") and "\\" not in text
    fit = fit and text.isascii() and text.isprintable()
    return text if fit and len(text) <= LONGEST else otherwise


def page_left(request: Request) -> str:
    """Return the page on which a person was when the session ended; / where that is not known.

    That is the page asked for; of a part of a page and of a form, the page that it stands on.
    """
    headers = request.headers
    if headers.get("hx-request") == "true":
        found = _path_of(headers.get("hx-current-url", ""))
    elif request.method == "GET":
        found = _path_of(str(request.url))
    else:
        found = _path_of(headers.get("referer", ""))
    path = own_path(found)
    return "/" if urlsplit(path).path in ENTRY else path


def _path_of(url: str) -> str:
    try:
        parts = urlsplit(url)
    except ValueError:
        return "/"
    return f"{parts.path}?{parts.query}" if parts.query else parts.path
