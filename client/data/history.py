"""The medical history that a study's terms ask for, from the patients table: numbers, flags, words.

What a site does not have never stops it: a column that is lacking, a cell that is empty, a value that the
study does not believe. Each is missing, counted and named.
"""

from collections.abc import Iterable, Iterator, Mapping

from client.data.patients import PatientTable
from shared.study import Study, Term


def asked(study: Study) -> list[Term]:
    """Terms of the priority whose value stands in the patients table; never the outcome itself."""
    if study.priority is None:
        return []
    outcome = (study.priority.urgent.outcome or "").lower()
    return [t for t in study.priority.terms if t.is_history and t.feature.lower() != outcome]


def history_of(case: str, table: PatientTable, study: Study) -> dict[str, float]:
    """Return what is known of a case by name: every numeric column, and each level asked for as 1 or 0.

    The outcome is left out: what is to be predicted must not be among the predictors.
    """
    history = table.history(case)
    if study.priority is not None and study.priority.urgent.outcome is not None:
        history.pop(study.priority.urgent.outcome.lower(), None)
    for term in asked(study):
        column = term.feature.lower()
        if term.level is not None:
            word = table.word(case, column)
            if word is not None:
                history[term.name] = float(word.lower() == term.level.lower())
        elif column in history:
            history[term.name] = history[column]  # as the study spells it
    return history


def lacking(table: PatientTable, study: Study) -> dict[str, str]:
    """Columns that the study asks for and the table cannot give, with the reason: lacking, or words."""
    found = {}
    for term in asked(study):
        column = term.feature.lower()
        if not table.gives(column):
            found[term.feature] = "no such column"
        elif term.level is None and column in table.columns and not table.is_number(column):
            found[term.feature] = "words where numbers are expected"
    return found


def not_believed(histories: Iterable[Mapping[str, float]], study: Study) -> Iterator[tuple[Term, int]]:
    """Terms with how many of the cases hold a value outside the plausible range, if any does."""
    rows = list(histories)
    for term in asked(study):
        count = sum(term.name in row and not term.believes(row[term.name]) for row in rows)
        if count:
            yield term, count


def told_range(term: Term) -> str:
    """``0..120 years``: what the study believes."""
    low = "" if term.lowest is None else f"{term.lowest:g}"
    high = "" if term.highest is None else f"{term.highest:g}"
    return f"{low}..{high} {term.unit}".strip()
