"""What a study asks of a hospital, in plain words: a question and its answer each, for whoever decides."""

from collections.abc import Iterator

from shared.study import Study, Term
from shared.words import counted, listed, percent

TRUTH = {
    "label": "outlined voxel by voxel",
    "points": "marked by single points, the rest unknown",
    "region": "looked for within a mask of the region",
}
STRATEGY = {
    "fedavg": "the average of the sites' weight changes, by number of patients (FedAvg)",
    "fedprox": "the average of the sites' weight changes, held close to the common model (FedProx)",
    "fedadam": "the average of the sites' weight changes, with momentum at the coordinator (FedAdam)",
}
INTENSITY = {
    "zscore": "centred and scaled by each scan's foreground",
    "robust_zscore": "centred and scaled by median and quartiles of each scan's foreground",
    "ct_window": "cut to a CT window",
}


def asks(study: Study) -> tuple[tuple[str, str], ...]:
    """Say what the study asks: (question, answer) each."""
    return tuple(_rows(study))


def _rows(study: Study) -> Iterator[tuple[str, str]]:
    yield "What is looked for", _sought(study)
    yield "From which images", f"{listed(study.task.channels)} of each scan"
    yield "What a site must have", _required(study)
    yield "Which history it uses", _history(study)
    yield "How scans are prepared", _prepared(study)
    yield "Which network", _network(study)
    yield "How much training", _training(study)
    yield "What becomes of it", STRATEGY[study.strategy.name]
    yield "When a round counts", _valid(study)
    yield "Whose scans judge it", _judged(study)
    yield "What is protected", _privacy(study)
    yield "What the reading order is", _urgent(study)


def _sought(study: Study) -> str:
    findings = study.task.finding_classes
    count = "counts" if len(findings) == 1 else "count"
    return f"{listed(study.task.classes)}, {TRUTH[study.task.truth]}; {listed(findings)} {count} as a finding"


def _training(study: Study) -> str:
    training = study.training
    passes = counted(training.local_epochs, "pass", "passes")
    return (
        f"{counted(training.rounds, 'round')}; in each, {passes} over the training patients here, "
        f"{counted(training.batch_size, 'window')} at a time"
    )


def _valid(study: Study) -> str:
    deadline_min = study.strategy.deadline_s / 60
    return (
        f"with {counted(study.strategy.quorum, 'site')} at least; an answer later than {deadline_min:g} min "
        "after the question is not used"
    )


def _required(study: Study) -> str:
    needs = study.requires
    said = f"{counted(needs.minimum_patients, 'patient')} at least"
    return f"{said}, and scans with {listed(needs.classes)}" if needs.classes else said


def _history(study: Study) -> str:
    terms = [] if study.priority is None else [term for term in study.priority.terms if term.is_history]
    if not terms:
        return "none"
    return f"{listed([_term(term) for term in terms])}; a site that lacks one can still take part"


def _term(term: Term) -> str:
    return f"{term.name} in {term.unit}" if term.unit else term.name


def _prepared(study: Study) -> str:
    how = study.preprocessing
    spacing = how.spacing_mm
    said = ["own spacing kept" if spacing is None else f"spacing {_times(spacing)} mm"]
    intensity = INTENSITY[how.intensity.kind]
    if how.intensity.kind == "ct_window":
        intensity += f" from {how.intensity.low_hu:g} to {how.intensity.high_hu:g} HU"
    said.append(f"intensities {intensity}")
    if how.shape is not None:
        said.append(f"cut or padded to {_times(how.shape)} voxels")
    return ", ".join(said)


def _network(study: Study) -> str:
    model = study.model
    start = "drawn at random" if study.start == "random" else "trained on synthetic volumes first"
    return f"{model.dimensions}-D U-Net of {len(model.channels)} levels; its first weights are {start}"


def _judged(study: Study) -> str:
    test, validation = study.evaluation.test_fraction, study.evaluation.validation_fraction
    return (
        f"{percent(test)} of the patients here are only ever tested on, {percent(validation)} choose and "
        f"calibrate, {percent(1 - test - validation)} train; which patient is where is drawn once and stays"
    )


def _privacy(study: Study) -> str:
    privacy = study.privacy
    if privacy is None:
        return "nothing by differential privacy; only sums leave"
    return (
        f"each {privacy.unit}, by differential privacy: epsilon {privacy.epsilon:g}, delta {privacy.delta:g} "
        "for the weight changes of one run"
    )


def _urgent(study: Study) -> str:
    priority = study.priority
    if priority is None:
        return "none: the study only outlines"
    if priority.urgent.outcome is not None:
        urgent = f"the column {priority.urgent.outcome} of the patients table says which patient is urgent"
    else:
        bound = priority.urgent.volume
        side = "above" if bound and bound.above_ml is not None else "below"
        value = None if bound is None else bound.above_ml if bound.above_ml is not None else bound.below_ml
        classes = listed((bound and bound.classes) or study.task.classes)
        urgent = f"urgent is a volume of {classes} {side} {value:g} ml"
    return f"{urgent}; {counted(len(priority.terms), 'term')}: {listed([t.name for t in priority.terms])}"


def _times(sides: tuple[float, ...] | tuple[int, ...]) -> str:
    return " × ".join(f"{side:g}" for side in sides)
