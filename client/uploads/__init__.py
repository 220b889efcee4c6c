"""Scans from a browser to the worklist.

receiving.py takes files in, paths.py says where they may lie; sorting.py unpacks and sorts them, checking.py
says which are scans; history.py holds what is known of the patients; jobs.py is the queue between the
pages and worker.py, the one process that checks and reads. All of it stays at the hospital.
"""
