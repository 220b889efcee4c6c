"""What a page of `wardround site explain` says of every site, study and policy."""

from client.greeting import GREETING_EVERY_S

PLAIN = {
    "enrolment": (
        "the agreement to take part",
        (
            "how many patients are used for training, for validation and for testing; how many cases were "
            "skipped, counted by reason; whether patients or single scans were counted; how many of the "
            "study's history columns the site lacks; the software's version"
        ),
    ),
    "update": (
        "the change of the model's weights after training here",
        (
            "one number for each weight of the network: how far training on all training patients together "
            "moved it; the mean training loss; how many patients took part"
        ),
    ),
    "segmentation": (
        "how well the model outlines findings here",
        (
            "sums over all patients scored: overlap, voxels and findings counted right and wrong, and a "
            "histogram of finding probabilities"
        ),
    ),
    "derivatives": (
        "this site's part in fitting the reading order",
        (
            "gradients and curvatures of logistic fits, summed over all validation patients whose outcome is "
            "known, and over all but each of a few groups of them; how many they are. Groups are so large "
            "that what one of them makes up may be released as well, or there are none. Then the same of the "
            "map that calibrates the score, and on the test patients"
        ),
    ),
    "held_out_losses": (
        "which calibration of the score serves best",
        (
            "for each kind of calibration the sum, and the sums of products, of how wrong it was on "
            "validation patients that it had not seen"
        ),
    ),
    "score_histograms": (
        "from where on a scan is urgent",
        (
            "for each of 162 ranges of the score: how many urgent and how many other patients fall into it; "
            "of the validation patients, of all but each group, and of the test patients. A range that "
            "holds few can tell of a single patient"
        ),
    ),
    "reliability_bins": (
        "how far the probabilities can be believed",
        (
            "for each range of probability: how many test patients fall into it, the sum of their "
            "probabilities and how many of them were urgent"
        ),
    ),
    "voxel_counts": (
        "how far the probability map can be believed",
        (
            "for each of 256 ranges of the probability that a voxel belongs to a finding: how many voxels of "
            "findings and how many others fall into it, over all patients together, each patient counting "
            "the same; of the validation patients and of the test patients. A range that nobody else falls "
            "into can tell of a single patient"
        ),
    ),
    "finished": (
        "the end of the run",
        (
            "how many scans the worklist lists, and whether the seismometer report was written. Worklist and "
            "report themselves stay here"
        ),
    ),
    "statistics": (
        "what the scans here look like, for setting a study up",
        (
            "histograms over all training patients together, each patient counting the same: intensities of "
            "the foreground and of what is labelled, spacing, number of voxels, labelled volume, number and "
            "longest side of findings, share of each class; how many patients hold no finding; how many "
            "cases could not be read. A range that nobody else falls into can tell of a single patient"
        ),
    ),
    "failure": (
        "word that something could not be done",
        (
            "a code such as policy.minimum_patients or data, and 1 if it was about one case. Never a text, a "
            "path or a case"
        ),
    ),
}
"""For each kind that can leave: what it is, and what it holds."""

ON_POINTS = "; histograms of the model's probability at the labelled points, on a structure and beside it"
"""What `segmentation` holds on top where labelled points are the truth."""

NEVER = (
    "scans, parts of scans, masks and outlines",
    "names of files and folders, cases and series",
    "names, numbers and any other identifiers of patients, and their histories and outcomes one by one",
    "the worklist, the predictions, the overlays and the seismometer report",
    "texts of errors and logs",
    "the audit log, the privacy ledger and the node's private key",
)
CONTROL_SAYS = (
    f"At enrolment, at its start, at its end and every {GREETING_EVERY_S / 60:g} minutes in between, the "
    "node tells the coordinator's control service the site's name, its public key, the software's version, "
    "the node's clock, and how many lines the audit log has with the seal (SHA-256) of the last. No patient "
    "data. Flower's own connection carries the same key, sizes and times, and the node's network address is "
    "seen by whoever receives it."
)
COMES_IN = (
    "The study (settings, never code), instructions, the model's weights and the coefficients of the reading "
    "order. The node connects outwards only, and runs nothing but the version installed here."
)
PLANNED = (
    "These are the numbers that the study plans. A coordinator can ask again, after an interruption or "
    "without one; every answer passes the same gate and is counted in the audit log. policy.budget.updates "
    "bounds the weight changes."
)
