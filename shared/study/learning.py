"""The network, its training at the sites, how updates become the next model, and privacy."""

from typing import Annotated, Literal

from pydantic import Field

from shared.config import Config
from shared.study.fields import Fraction, Positive, Size


class Model(Config):
    """A MONAI U-Net; `dimensions: 2` treats every axial slice as an image."""

    dimensions: Literal[2, 3] = 3
    channels: tuple[Annotated[int, Field(ge=1)], ...] = Field(default=(16, 32, 64), min_length=2)
    residual_units: int = Field(default=1, ge=0)
    norm: Literal["instance", "group"] = "instance"

    @property
    def stride(self) -> int:
        """Every spatial size fed to the network must be a multiple of this."""
        return int(2 ** (len(self.channels) - 1))


class Training(Config):
    """Local training. One-cycle learning rate over the whole run, so that a round knows its place in it."""

    rounds: int = Field(default=5, ge=1)
    local_epochs: int = Field(default=1, ge=1)
    batch_size: int = Field(default=2, ge=1)
    window: Size = (32, 32, 32)
    tumour_fraction: Fraction = Field(
        default=0.5, description="share of windows centred on a labelled voxel, where the case has one"
    )
    flip: bool = Field(default=False, description="mirror windows left-right at random")
    learning_rate: Positive = 2e-3
    weight_decay: float = Field(default=1e-5, ge=0)


class Strategy(Config):
    """How updates become the next model, and when a round is valid."""

    name: Literal["fedavg", "fedprox", "fedadam"] = "fedavg"
    proximal_mu: float = Field(default=0.01, ge=0, description="fedprox: mu/2 * ||w - w_round||^2")
    server_learning_rate: Positive = Field(default=0.01, description="fedadam")
    beta_1: Fraction = Field(default=0.9, description="fedadam")
    beta_2: Fraction = Field(default=0.99, description="fedadam")
    tau: Positive = Field(default=1e-3, description="fedadam: adaptivity floor")
    quorum: int = Field(default=2, ge=1, description="sites that must contribute to a valid round")
    deadline_s: Positive = Field(default=3600.0, description="later replies of a round are not used")
    max_update_norm: Positive = Field(default=1e4, description="an update with a larger L2 norm is refused")


class Privacy(Config):
    """Differentially private training at each site; epsilon holds over all rounds of the run."""

    unit: Literal["patient"] = "patient"
    epsilon: Positive
    delta: Annotated[float, Field(gt=0, lt=1)]
    clip: Positive = Field(default=1.0, description="L2 bound on one patient's gradient")
