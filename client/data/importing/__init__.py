"""`wardround data import`: a data set of any layout and format, as canonical NIfTI under new names.

    run.py          the whole: lock, names, what is done already, cases in processes, manifest last
    archive.py      a zip that is not trusted, unpacked within bounds
    case.py         one case: judge, read, check, write
    canonical.py    one volume: RAS order, the narrowest exact type, a clean header, the same bytes every time
    points.py       tables of labelled points, on the canonical grid
    pseudonyms.py   keyed names, and the key
    table.py        the patients table under the new names
    records.py      import.json, and the journal from which an import that was killed goes on

The manifest names complete cases only, at every moment: a case that is to be redone leaves it first.
"""
