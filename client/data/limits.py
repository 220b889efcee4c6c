"""How much one scan may ask of a site's machine; the hospital sets it in site.yaml."""

from pydantic import Field, PositiveInt

from shared.config import Config

MAX_VOXELS = 2**28


class Limits(Config):
    """How much one volume may ask of this site, whatever its format."""

    max_voxels: PositiveInt = Field(default=MAX_VOXELS, description="voxels times components")
    max_bytes: PositiveInt = Field(
        default=8 * MAX_VOXELS,
        description="voxels as stored, and any one file that must be held in memory to be decoded",
    )
    max_offset: PositiveInt = Field(
        default=2**24, description="bytes of a file that are not voxels, before them"
    )
    max_tail: PositiveInt = Field(default=2**20, description="bytes after the voxels: some writers pad")
    max_files: PositiveInt = Field(default=2**13, description="files of one folder, frames of one file")
