"""What site.yaml says about uploads from a browser."""

from typing import Annotated

from pydantic import Field, PositiveInt

from shared.config import Config

GB = 10**9
Gigabytes = Annotated[float, Field(gt=0, le=100_000)]


class UploadSettings(Config):
    """How much somebody may send, and how long a half-finished upload is kept; 1 GB is 10^9 bytes."""

    file_gb: Gigabytes = Field(default=8.0, description="of one file, zip or scan")
    batch_gb: Gigabytes = Field(default=32.0, description="of one upload, as sent and as unpacked")
    data_set_gb: Gigabytes = Field(default=200.0, description="of the zip of a whole data set")
    batch_files: PositiveInt = Field(default=20_000, description="of one upload; a DICOM series has hundreds")
    keep_free_gb: Annotated[float, Field(ge=0, le=100_000)] = Field(
        default=10.0, description="left free on the disk of `work`; an upload that would use it is refused"
    )
    unfinished_h: Annotated[float, Field(gt=0, le=24 * 30)] = Field(
        default=24.0, description="after which an upload that nobody finished is removed"
    )
