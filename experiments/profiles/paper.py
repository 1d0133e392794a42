"""The paper profile: Table 6 of the paper to the letter; the recipe's defaults are its values."""

from experiments.profiles.base import Profile

PROFILE = Profile(
    name="paper",
    purpose="a node or a cluster: ImageNet at 256x256, Table 6 of the paper",
    overlay={"data.source": "folder", "data.image_size": 256},
)
