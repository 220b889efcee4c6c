"""From scans to results: mask, findings, priority and reasons of each, in a folder of its own.

scans.py says which scans the named files and folders are; pipeline.py reads one; run.py reads them all and
can be started again; masks.py, dicom_seg.py and dicom_report.py write. All of it stays at the hospital.
"""
