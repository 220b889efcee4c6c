"""A site's policy in plain words: what may happen here and what may leave, whatever a study asks."""

from collections.abc import Iterator

from client.explain_words import PLAIN
from client.policy import ANY, ASK, RELEASABLE, Policy
from shared.words import listed


def policy_words(policy: Policy) -> tuple[tuple[str, str], ...]:
    """Say the policy: (what it is about, what it says) each."""
    return tuple(_rows(policy))


def _rows(policy: Policy) -> Iterator[tuple[str, str]]:
    if policy.studies == ASK:
        studies = "only those that a person here has approved, each by its exact text"
    elif policy.studies == ANY:
        studies = "any study that the coordinator sends; nobody here is asked"
    else:
        studies = f"only {listed(policy.studies)}; nobody here is asked" if policy.studies else "none"
    yield "Studies", studies
    yield "Smallest group", f"a sum over fewer than {policy.minimum_patients} patients never leaves"
    yield "May leave", "; ".join(f"{kind}: {PLAIN[kind][0]}" for kind in policy.release) or "nothing"
    never = [kind for kind in RELEASABLE if kind not in policy.release and kind != "failure"]
    yield (
        "May never leave",
        "; ".join(f"{kind}: {PLAIN[kind][0]}" for kind in never) or "no kind is ruled out",
    )
    epsilon = policy.budget.epsilon
    yield (
        "Budget of epsilon",
        "no bound, and training without differential privacy is allowed"
        if epsilon is None
        else f"{epsilon:g} in all, over all studies and runs; other training than private is refused",
    )
    updates = policy.budget.updates
    yield (
        "Budget of weight changes",
        "no bound" if updates is None else f"{updates:,} for one study, over all its runs",
    )
    hours = policy.hours
    yield (
        "Hours",
        "at any time"
        if hours is None
        else f"training, scoring and statistics only {listed(hours)} by this machine's clock",
    )
