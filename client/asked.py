"""The studies that this site is asked about: those that wait for its people, then the coordinator's."""

from collections.abc import Callable
from pathlib import Path

import yaml

from client.approvals import Approvals
from client.audit import Audit
from client.control import Control
from client.control_answers import RunStudy
from client.membership import Enrolment
from client.site import Site
from shared.errors import ConfigError, FederationError
from shared.study import Study


def studies_asked(site: Site, site_file: Path, *, tell: Callable[[str], None]) -> list[Study]:
    """Collect each study once: first what waits for approval, then what the coordinator's open runs train.

    Where something waits here, a coordinator that does not answer is no error; `tell` is for the person.

    Raises
    ------
    ConfigError
        Nothing waits, and the site is not enrolled or its coordinator has no open run.
    FederationError
        Nothing waits, and the coordinator cannot be asked or sends what is no study.
    """
    waiting = [one.study for one in Approvals(site.work, Audit(site.work / "audit.jsonl")).pending()]
    enrolment = Enrolment.load(site)
    if enrolment is None and not waiting:
        raise ConfigError(
            f"{site.name} is not enrolled, so no coordinator can say which studies it asks about. Give the "
            f"study's YAML file, or enrol first: wardround site enrol {site_file} --invite INVITE"
        )
    asked = []
    if enrolment is not None:
        try:
            with Control(enrolment) as control:
                asked = [read_study(one, enrolment) for one in control.study()]
        except FederationError as error:
            if not waiting:
                raise
            tell(f"only what waits here is explained: {error}")
    found = {study.digest(): study for study in [*waiting, *asked]}
    if not found:
        raise ConfigError(
            "no study waits for approval at this site, and the coordinator has no run that is not over. "
            "Give the study's YAML file."
        )
    return list(found.values())


def read_study(sent: RunStudy, enrolment: Enrolment) -> Study:
    """Read a study as it came; its own text counts and no digest that somebody says it has."""
    source = f"the study of run {sent.run}, sent by the coordinator at {enrolment.control}"
    try:
        return Study.parse(yaml.safe_load(sent.study), source)
    except (yaml.YAMLError, ConfigError) as error:
        raise FederationError(
            f"{source} cannot be read: {error}. Install the coordinator's version of Wardround."
        ) from error
