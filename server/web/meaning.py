"""What a study means, in words and numbers, before anybody is asked."""

from collections.abc import Sequence

from server.store import SiteRow
from server.web.network import BYTES, count_weights
from shared.study import Priority, Study
from shared.web.look import lasting, size
from shared.words import counted, listed

STRATEGIES = {
    "fedavg": "the mean of the sites' updates, by patients (FedAvg)",
    "fedprox": "the mean of updates that are held near the model before (FedProx)",
    "fedadam": "the mean of the sites' updates, through Adam at the coordinator (FedAdam)",
}


def meaning(study: Study, sites: Sequence[SiteRow]) -> list[tuple[str, str]]:
    """Say what would happen: pairs of a heading and a sentence."""
    weights, rounds = count_weights(study), study.training.rounds
    travels, held = BYTES * weights, study.evaluation
    learnt = f"{listed(study.task.classes)} in {listed(study.task.channels)}"
    times = f"{counted(rounds, 'round')} of {counted(study.training.local_epochs, 'epoch')} at each site"
    traffic = f"about {size(travels)} to each site and as much back, each round"
    parts = f"{held.validation_fraction:.0%} of patients to validate, {held.test_fraction:.0%} to test"
    return [
        ("Sites that would be asked", _asked(study, sites)),
        ("They must have", _needed(study)),
        ("What is learnt", f"{learnt}, by a {study.model.dimensions}-D U-Net with {weights:,} weights"),
        ("Training", f"{times}; the next model is {STRATEGIES[study.strategy.name]}"),
        ("Traffic", f"{traffic}: {size(2 * travels * rounds)} a site in all"),
        ("Longest round", f"{lasting(study.strategy.deadline_s)}; later answers are not used"),
        ("Privacy", _privacy(study)),
        ("Held back at each site", parts.replace("%", " %")),
        ("Reading order", "none" if study.priority is None else _priority(study.priority)),
    ]


def _asked(study: Study, sites: Sequence[SiteRow]) -> str:
    members = [site.name for site in sites if site.revoked_at is None]
    named = listed(members) if members else "nobody, as no site is enrolled"
    return f"{named} (n = {len(members)}); at least {study.strategy.quorum} must contribute"


def _needed(study: Study) -> str:
    needs = study.requires
    labels = f", labels of {listed(needs.classes)}" if needs.classes else ""
    return f"{counted(needs.minimum_patients, 'patient')} or more{labels}"


def _privacy(study: Study) -> str:
    found = study.privacy
    if found is None:
        return "no differential privacy: updates travel as they are"
    return (
        f"differential privacy at each site, by {found.unit}: ε {found.epsilon:g}, δ {found.delta:g} over "
        f"all rounds, gradients clipped at {found.clip:g}"
    )


def _priority(found: Priority) -> str:
    urgent = found.urgent
    by = f"the column {urgent.outcome}" if urgent.outcome else "a bound on the labelled volume"
    names = [term.label or term.name for term in found.terms]
    promised = "fixed bounds, nothing is promised" if found.tiers else "bounds that keep a sensitivity"
    return f"urgent by {by}; from {listed(names)} (n = {len(names)} terms); {promised}"
