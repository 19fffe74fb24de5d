"""Where samples come from, and how big their views are."""

from typing import Annotated, Literal

from pydantic import Field, model_validator

from visionthink.config.section import Place, Section
from visionthink.core.geometry import ViewRule

WorldLayout = Literal["grid", "scattered"]
NonNegative = Annotated[float, Field(ge=0)]
Positive = Annotated[float, Field(gt=0)]
PositiveInt = Annotated[int, Field(ge=1)]
Share = Annotated[float, Field(ge=0, le=1)]


class ViewConfig(Section):
    """Pixel bounds of a view; the defaults fit the embedded model's world of 112 x 112 pictures."""

    max_pixels: PositiveInt = 112 * 112
    """No view has more pixels. The paper's released code: 2048 x 2048."""
    min_pixels: PositiveInt = 112 * 112
    """A smaller picture is scaled up to this first; 1 switches that off. The paper's released code: 512 x 512."""
    shrink: PositiveInt = 2
    """The first look's sides are divided by this; 2 is a quarter of the pixels, 4 a sixteenth."""

    def rule(self) -> ViewRule:
        """The geometry's own record."""
        return ViewRule(max_pixels=self.max_pixels, min_pixels=self.min_pixels, shrink=self.shrink)

    @model_validator(mode="after")
    def _bounds_fit(self) -> "ViewConfig":
        self.rule()
        return self


class DataConfig(Section):
    """The samples that every stage works on."""

    source: Annotated[str, Place(words=("world",))] = "world"
    """`world` generates pictures; anything else is a file, folder or s3:// address of a data set."""
    format: Literal["auto", "parquet", "jsonl", "hf_disk"] = "auto"
    """Layout of `source`; `auto` looks at it. Ignored for the world."""
    eval_source: Annotated[str | None, Place()] = None
    """Data set to evaluate on; None means `eval_split` of `source`, else its rows behind those to label. Ignored for
    the world, whose splits cannot leak."""
    split: str | None = None
    """Part of `source` to train on, as its files or the saved Hugging Face `DatasetDict` name it; `a+b` is both; None
    where there is but one."""
    eval_split: str | None = None
    """Part of `eval_source`, or of `source`, to evaluate on; None where `eval_source` has but one."""
    images: Annotated[str | None, Place()] = None
    """Folder or s3:// address of pictures that rows name by path; None means the folder of the data set."""
    skip_bad: bool = False
    """Whether a bad row (corrupt or huge picture, missing value, a row to evaluate on that is trained on) is left out
    and counted, instead of ending the run."""
    max_picture_pixels: PositiveInt = 64 * 1024**2
    """A larger picture is a bad row; it is refused before a pixel is decoded."""
    layout: WorldLayout = "grid"
    """Of the world's pictures: `grid`, 112 x 112 pixels with a panel in each quarter; `scattered`, 224 x 224 with five
    panels anywhere, two of them tags that are told apart by their colors. Ignored for any other source."""
    world_seed: int = 0
    """Seed of the world: another seed, other pictures."""
    families: tuple[str, ...] = ("color", "shape", "count", "tallest", "code", "mark", "framed", "axis")
    """Families of questions to label and to train on."""
    held_out_families: tuple[str, ...] = ("corner", "suffix")
    """Families that take no part in labelling and training; evaluated and reported apart."""
    eval_needed_ratio: Share = 1 / 3
    """Share of questions in the evaluation that need the full resolution."""

    @model_validator(mode="after")
    def _families_apart(self) -> "DataConfig":
        both = sorted(set(self.families) & set(self.held_out_families))
        if both:
            raise ValueError(f"families {both} are both trained on and held out; take them off one of the two lists")
        return self
