"""The commented site.yaml that `wardround site init` writes; sites/example.yaml is the same text."""

import re
from pathlib import Path

import yaml

from client.site import Site
from shared.errors import ConfigError
from shared.files import write_atomically

TEMPLATE = """\
# One hospital's node. Change the paths, and keep this file where only the hospital can write. Relative
# paths are relative to this file's folder. An unknown key is refused. Optional keys show their defaults.

# The site's name in results and logs: lower-case letters, digits, "-" and "_". Every coordinator sees it.
name: example-hospital

# Folder with the scans; only ever read.
data: scans

# How the folder is arranged: bids, brats2015, brats_nifti, decathlon, dicom_series, folders (images/,
# labels/), lits, manifest (a table manifest.csv), nnunet_raw, ucsb or vessel12. null recognises it.
layout: null

# Optional CSV with a column `case`, `patient` or both, history columns and outcomes. With both columns the
# table says which scans are one person; without, each scan counts as a patient. null: no table.
patients: null

# States that every case is another person. Private training needs this, or a table with `case` and
# `patient`.
one_patient_per_case: false

# Folder for cache, logs, audit, ledger, worklist and reports. It holds patient data and stays at the
# hospital.
work: work

# How much one scan may ask of this machine. A file that declares more is refused by its header, unread.
limits:
  # Voxels times channels of one file; 2^28 is 512 x 512 x 1024.
  max_voxels: 268435456

  # Bytes of voxels as stored, and of any one file that must be held in memory to be decoded.
  max_bytes: 2147483648

  # Bytes of a file before its voxels.
  max_offset: 16777216

  # Bytes of a file after its voxels: some writers pad.
  max_tail: 1048576

  # Files of one folder, and frames of one file.
  max_files: 8192

# Where the network runs: cpu, or a PyTorch device such as cuda:0. Private training runs on the CPU.
device: cpu

# CPU threads for training, and scans prepared at a time. Equal results need equal numbers of threads.
threads: 1

# Seconds between two requests to the coordinator for work. Longer pauses make rounds longer.
poll_s: 0.5

# Write a seismometer report after each run. It is patient data and stays in `work`.
seismometer: true

# The order in which scans are read; see `wardround site worklist`.
worklist:
  # Where it is kept: an SQLAlchemy URL such as postgresql+psycopg://user:password@host/database, for several
  # machines. null: the SQLite file worklist.db in `work`.
  database: null

  # Hours in a tier after which a scan is read as the next tier above. null: never.
  longest_wait_h:
    # Then it is read as urgent.
    routine: 72.0

    # Then it is read as asap.
    urgent: 24.0

    # Then it is read as stat, where the longest wait comes first.
    asap: 4.0

  # Who reads at this machine, where a command gives no --reader. null: the name of the account.
  reader: null

# The pages that people open in a browser; see `wardround site serve`.
pages:
  # Address to listen on. 127.0.0.1: this machine only. Any other needs tls_certificate and tls_key, and an
  # account: wardround site account add.
  bind: 127.0.0.1

  # Port; 0 is any free one.
  port: 8090

  # Host names and addresses that people may type into the browser, such as [wardround.hospital.example].
  # 127.0.0.1, localhost and the address above always may.
  names: []

  # PEM file of the certificate, followed by those that it was issued by. null: no TLS.
  tls_certificate: null

  # PEM file of its key, unencrypted, readable by the account that runs the pages and nobody else.
  tls_key: null

  # Minutes without a look or a change by the person after which they must log in again.
  idle_minutes: 30.0

  # Hours after which they must log in again in any case.
  session_hours: 12.0

  # Requests a minute of one person, four times as many of one address. More are told to wait. A page asks by
  # itself every few seconds.
  requests_a_minute: 3000

# What may be sent from a browser, see the page Upload of `wardround site serve`. 1 GB is 10^9 bytes.
uploads:
  # Of one file, scan or zip.
  file_gb: 8.0

  # Of one upload, as sent and as unpacked.
  batch_gb: 32.0

  # Of the zip of a whole data set, see the page Data.
  data_set_gb: 200.0

  # Files of one upload; a DICOM series has hundreds.
  batch_files: 20000

  # Left free on the disk of `work`: what would use it is refused.
  keep_free_gb: 10.0

  # Hours after which an upload that nobody finished is removed.
  unfinished_h: 24.0

# What may happen here and what may leave, whatever a study asks for. The policy wins over the study.
policy:
  # Which studies this site takes part in. ask: each one, word for word, must first be allowed with
  # `wardround site approve`. any: all of them. Or a list of names or digests, such as [quickstart].
  studies: ask

  # A sum over fewer patients is never released.
  minimum_patients: 10

  # Kinds of record that may leave. Without `update` the site takes no part in training; without
  # `segmentation` it is not judged; without `derivatives` and `reliability_bins` it is left out of the
  # calibration, without `held_out_losses` of choosing one; without `score_histograms` it takes the lowest
  # bounds that any site has. Without `voxel_counts` it has no part in calibrating the probability map.
  # `failure` (a code and a count) always may. `statistics` is not in the list: add
  # it to let a coordinator sum histograms of intensities, sizes and findings over the training patients, by
  # which a study is set up without anybody seeing a scan.
  release: [enrolment, update, segmentation, derivatives, held_out_losses, score_histograms,
            reliability_bins, voxel_counts, finished, failure]

  # What may be spent of the patients' privacy. null: no bound.
  budget:
    # Sum of epsilon over all studies and runs. With a number, training without differential privacy is
    # refused. It bounds training; the sums of evaluation and calibration are exact and are not counted.
    epsilon: null

    # Weight changes that may be released for one study, over all its runs. The same answer sent again
    # counts once.
    updates: null

  # Local time in which this site trains, scores and sums statistics, such as "20:00-06:00", or a list of
  # such ranges. null: always.
  hours: null
"""


def site_file(**values: str) -> str:
    """Fill in the template: top-level keys of `Site` to their values.

    Raises
    ------
    ConfigError
        A value that the key does not allow.
    """
    text = TEMPLATE
    for key, value in values.items():
        line = yaml.safe_dump({key: value}, width=1000, allow_unicode=True).rstrip()
        text, count = re.subn(rf"^{key}: .*$", line.replace("\\", r"\\"), text, flags=re.MULTILINE)
        if count != 1:
            raise ConfigError(f"site.yaml has no key {key!r} to fill in.")
    Site.parse(yaml.safe_load(text), "the site file asked for")
    return text


def write_site_file(path: Path, *, force: bool, **values: str) -> None:
    """Write a commented site.yaml; ConfigError if there is one already and `force` is not given."""
    text = site_file(**values)
    if path.exists() and not force:
        raise ConfigError(f"{path} exists already. Give another path, or --force to write over it.")
    with write_atomically(path) as temporary:
        temporary.write_text(text, encoding="utf-8")
