"""What federation is compared with: each site alone, and all scans pooled, on the same budget of epochs.

Both train without a break and with one optimiser, which is to their advantage: a federated round starts a
fresh optimiser. Every model is judged on every site's test patients by the same code.
"""

from collections.abc import Callable, Mapping
from concurrent.futures import ThreadPoolExecutor, as_completed

import torch

from client.data import cache
from client.data.cache import SiteData
from client.scoring import score
from client.site import Site
from client.training import Span, train
from server.evaluation import judged
from server.results import Comparison, Judged, LocalModel
from shared.metrics import segmentation_sums
from shared.model import Weights, build, initial_weights, set_weights
from shared.randomness import generator
from shared.study import Study

POOLED = "pooled_training"


def compare(
    sites: Mapping[str, Site],
    study: Study,
    wanted: tuple[str, ...],
    *,
    start: Weights | None,
    workers: int,
    progress: Callable[[str, int, int], None],
) -> Comparison:
    """Train and judge the baselines in `wanted`; the sites must have been prepared for `study`."""
    data = {name: cache.load(site.work / "cache", study) for name, site in sites.items()}
    groups: dict[str, list[SiteData]] = {}
    if POOLED in wanted:
        groups[POOLED] = list(data.values())  # first: it takes longest
    if "local_only" in wanted:
        groups |= {name: [one] for name, one in data.items() if one.split("train")}
    threads = {site.threads for site in sites.values()}.pop()
    first = start or initial_weights(study)  # drawn here: PyTorch's generator is shared by all threads
    models: dict[str, Judged] = {}
    progress("baselines", 0, len(groups))
    with ThreadPoolExecutor(workers, initializer=torch.set_num_threads, initargs=(threads,)) as pool:
        jobs = {
            pool.submit(_train_and_judge, name, group, data, study, first): name
            for name, group in groups.items()
        }
        for job in as_completed(jobs):
            models[jobs[job]] = job.result()
            progress("baselines", len(models), len(groups))
    local = {
        name: LocalModel(own=models[name].sites[name], pooled=models[name].pooled, sites=models[name].sites)
        for name in data
        if name in models and name in models[name].sites
    }
    return Comparison(local_only=local, pooled_training=models.get(POOLED))


def _train_and_judge(
    name: str, group: list[SiteData], data: Mapping[str, SiteData], study: Study, start: Weights
) -> Judged:
    plain = study.model_copy(update={"strategy": study.strategy.model_copy(update={"name": "fedavg"})})
    cases = [(c.image(d.folder), c.label(d.folder)) for d in group for c in d.split("train")]
    trained = train(
        start,
        cases,
        plain,
        epochs=study.training.rounds * study.training.local_epochs,
        span=Span(),
        rng=generator(study.seed, "baseline", name),
    )
    return judge_everywhere(trained.weights, data, study)


def judge_everywhere(weights: Weights, data: Mapping[str, SiteData], study: Study) -> Judged:
    """Figures of one model on every site's test patients."""
    net = build(study)
    set_weights(net, weights)
    net.eval()
    sums = {}
    for name, one in data.items():
        results = [s.result for s in score(net, one.split("test"), study, cache_folder=one.folder)]
        if results:
            sums[name] = segmentation_sums(results, bins=study.evaluation.score_bins)
    return judged(sums, study)
