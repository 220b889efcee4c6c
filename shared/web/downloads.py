"""Files that a browser saves rather than shows."""


def saved_as(name: str) -> dict[str, str]:
    """Return the headers of a download; `name` is ASCII and says nothing of a patient or a case."""
    return {"Content-Disposition": f'attachment; filename="{name}"'}
