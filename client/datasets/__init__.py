"""Data sets that the hospital's pages know of: the site's own, folders that were named, zips that were sent.

    registry.py   which there are, one small file each
    receiving.py  a zip from a browser, straight to disk
    looking.py    the process that imports what was sent and inspects a folder
    looks.py      starts those processes, one at a time, and says how far they are
    summary.py    what an inspection leaves for the page
    splits.py     how the patients fall into training, validation and test under each study

Files of a data set are only ever read; nothing here deletes one. All of it is patient data and stays.
"""
