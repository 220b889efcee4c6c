"""The site's own log: the whole story of every failure, with names and paths. It never leaves."""

import logging

from client.site import Site


def site_log(site: Site) -> logging.Logger:
    """Open the site's own log, `work/site.log`; nothing of it reaches another handler."""
    log = logging.getLogger(f"wardround.site.{site.name}")
    path = site.make_work() / "site.log"
    if not any(getattr(h, "baseFilename", None) == str(path.absolute()) for h in log.handlers):
        handler = logging.FileHandler(path, encoding="utf-8")
        handler.setFormatter(logging.Formatter("%(asctime)s %(levelname)s %(message)s"))
        for old in list(log.handlers):
            log.removeHandler(old)
            old.close()
        log.addHandler(handler)
    log.setLevel(logging.INFO)
    log.propagate = False  # patient paths must not reach a shared log
    return log
