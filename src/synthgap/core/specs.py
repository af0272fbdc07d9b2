"""Specs: everything that can change an output, typed, frozen and strict. The only place with defaults.

``Spec`` says *what* and enters the fingerprint; ``Resources`` says *how* and does not.
"""

from __future__ import annotations

import re
from pathlib import Path
from typing import Annotated, Any, Literal, Self

from pydantic import BaseModel, ConfigDict, Field, field_validator, model_validator

from synthgap.core.errors import nearest

Dtype = Literal["float32", "bfloat16", "float16"]
Classifier = Literal["gaussian-shared", "gaussian-own", "kernel-density", "logistic"]
Extra = Literal["overlap", "variety", "copies", "difference", "features"]

MOST_STEPS = 10_000
"""Denoising steps of an image; models are trained with 1,000 or so, and a slip of the hand would draw for ever."""


class Spec(BaseModel):
    """Base of all specs: frozen, and an unknown key is an error."""

    model_config = ConfigDict(frozen=True, extra="forbid", allow_inf_nan=False)


class GenerateSpec(Spec):
    """A synthetic set: which classes, which prompts, which generator, how many."""

    classes: str = Field(
        "cifar-10", description="A shipped list, a file, or comma-separated names, synsets (crane.n.04) or WordNet ids."
    )
    recipe: str = Field(
        "name",
        description="Prompt recipe: name, hypernym, definition, multiple, multiple-different, background, disambiguated, augmented, template or captions; several with commas for a mixture, or all-six.",
    )
    template: tuple[str, ...] = Field(
        (), description="Your own prompts for the 'template' recipe, with {name}, {first}, {hypernym} and {definition}."
    )
    captions: Path | None = Field(
        None, description="Prompts per class for the 'captions' recipe: YAML, JSON, JSON Lines, CSV or Parquet."
    )
    overrides: Path | None = Field(
        None, description="YAML of clarified prompts for the 'disambiguated' and 'augmented' recipes."
    )
    adjustments: Path | None = Field(
        None,
        description="YAML of single classes' own recipe, prompt, guidance or steps; other classes stay as they are.",
    )
    per_class: int = Field(100, ge=1, description="Images per class in the train split.")
    eval_per_class: int = Field(0, ge=0, description="Images per class in the eval split.")
    counts_like: Path | None = Field(
        None, description="An image set whose number of images per class and split is drawn, instead of per_class."
    )
    counts_times: int = Field(1, ge=1, description="Times as many images as counts_like has.")
    seed: int = Field(0, ge=0, description="Run seed; every image's seed follows from it, the class and the index.")
    generator: str = Field(
        "lab", description="'lab', a Hub id, a local diffusers folder, or a function of your own as module:function."
    )
    revision: str | None = Field(None, description="Revision of the generator on the Hub.")
    variant: str | None = Field(None, description="Weight variant of the generator, such as fp16.")
    scheduler: str | None = Field(
        None, description="A diffusers scheduler class by name; the generator's own by default."
    )
    guidance_scale: float | None = Field(
        None,
        ge=0,
        description="Classifier-free guidance; 1 means none. The pipeline's own by default (7.5 for Stable Diffusion).",
    )
    num_inference_steps: int | None = Field(
        None,
        ge=1,
        le=MOST_STEPS,
        description="Denoising steps; the pipeline's own by default, or what the generator's folder asks for.",
    )
    height: int | None = Field(None, ge=8, le=16_384, description="Pixels; the generator's own by default.")
    width: int | None = Field(None, ge=8, le=16_384, description="Pixels; the generator's own by default.")
    negative_prompt: str = Field("", description="What to steer away from.")
    dtype: Dtype = Field("float32", description="Precision of the generator.")
    safety_checker: bool = Field(
        True,
        description="Score and flag images with the generator's safety checker, where it has one; none is blackened.",
    )
    image_format: Literal["jpeg", "png"] = Field(
        "jpeg",
        description="File format of the images; natural images are mostly JPEG, and a gap should not be compression.",
    )
    jpeg_quality: int = Field(
        95, ge=1, le=100, description="JPEG quality; set it to that of the natural images to compare with."
    )
    jpeg_subsampling: Literal["4:4:4", "4:2:0"] = Field(
        "4:4:4", description="JPEG colour resolution; most photographs have 4:2:0."
    )
    shard_size: int = Field(250, ge=1, description="Images per shard; a shard holds one class.")
    failure_budget: float = Field(0.05, ge=0, le=1, description="Share of failed images at which the run stops.")


PLACE = re.compile(r"\{(?:prompt)?\}")
"""Where a prompt goes in a template."""


class EncoderSpec(Spec):
    """The encoder of images and prompts."""

    encoder: str = Field(
        "lab",
        description="'lab', a folder or Hub id of a CLIP, SigLIP, DINOv2, ViT or timm model, or an open_clip 'local-dir:…' or 'hf-hub:…'.",
    )
    revision: str | None = Field(None, description="Revision of the encoder on the Hub.")
    dtype: Dtype = Field("float32", description="Precision of the encoder.")
    templates: tuple[str, ...] = Field(
        (),
        description="Texts with {} for the prompt, such as 'a photo of a {}.'; a prompt's embedding is the mean over them. None by default.",
    )

    @model_validator(mode="after")
    def _templates_have_a_place(self) -> Self:
        for template in self.templates:
            if not PLACE.search(template) or set("{}") & set(PLACE.sub("", template)):
                raise ValueError(f"template {template!r} needs {{}} where the prompt goes, and no other braces")
        return self


class MeasureSpec(Spec):
    """Which measures, and how their uncertainty is told."""

    knn: tuple[Annotated[int, Field(ge=1)], ...] = Field(
        (1, 5), description="Neighbours for k-NN accuracy, such as 1,5."
    )
    bootstrap: int = Field(200, ge=0, description="Bootstrap resamples for the 95 % intervals; 0 for none.")
    min_per_class: int = Field(
        2, ge=2, description="Fewer images than this in a class make its figures NaN, with the reason."
    )
    few: int = Field(
        10, ge=2, description="Fewer images than this in a class draw a warning: their intervals are too narrow."
    )
    extra: tuple[Extra, ...] = Field(
        ("overlap", "variety", "copies", "difference"),
        description="Measures beside accuracy, distance, shift, separability and Fréchet: overlap (precision, recall, density, coverage), variety (Vendi score, covered share), copies (near duplicates, memorisation), difference (CMMD, FID-infinity, permutation test), features (sparsity, redundancy, coding length).",
    )
    overlap_k: int = Field(5, ge=1, description="Neighbour that the balls of precision, recall and coverage reach to.")
    vendi_order: float = Field(
        1.0, gt=0, description="Order of the Vendi score; the higher, the less rare images count."
    )
    copy_level: float = Field(
        0.95,
        gt=0,
        le=1,
        description="Share of natural images that are less alike to their nearest natural image than what counts as a copy.",
    )
    permutations: int = Field(
        200,
        ge=0,
        description="Permutations of the test whether two sets differ; 0 for none. The least p is 1 / (1 + n).",
    )
    seed: int = Field(0, ge=0, description="Seed of ties, splits, bootstrap and permutations.")


class TrialSpec(Spec):
    """What the trials ask beside centroids and neighbours."""

    classifiers: tuple[Classifier, ...] = Field(
        ("gaussian-shared", "kernel-density", "logistic"),
        description="Classifiers made of the references: Gaussian classes with shared or own covariance, kernel density, logistic regression.",
    )


class Resources(BaseModel):
    """How to run: never changes a result beyond rounding, never enters a fingerprint."""

    model_config = ConfigDict(frozen=True, extra="forbid", allow_inf_nan=False)

    device: str | None = Field(
        None, description="cpu, cuda, cuda:1, mps; several with commas, a process each. All there are by default."
    )
    batch_size: int | None = Field(
        None,
        ge=1,
        description="Images per forward pass, by default as many as suit their size; halved where memory is short.",
    )
    workers: int = Field(2, ge=1, description="Threads that decode and write images, per process.")
    compile: bool = Field(
        False,
        description="Compile the generator (torch.compile): minutes at the start, worth it on a GPU for thousands of images.",
    )
    executor: Literal["auto", "local", "rank", "ray"] = Field(
        "auto",
        description="local: processes of this machine; rank: this process's share under torchrun, accelerate or Slurm; ray: a Ray cluster. Auto takes rank under a launcher, else local.",
    )
    address: str | None = Field(
        None,
        description="Of the Ray cluster: auto, host:6379 or ray://host:10001; by default RAY_ADDRESS, or a cluster started here.",
    )


class LabSpec(Spec):
    """A miniature world: what it learns from and how long. The defaults are about those of the shipped lab."""

    classes: str = Field("cifar-10", description="Class list that names the image set's classes.")
    image_size: int = Field(32, ge=16, multiple_of=8, description="Pixels; images are resized and cut to this square.")
    shipped_train: int = Field(250, ge=2, description="Images per class kept apart as the world's train split.")
    shipped_eval: int = Field(100, ge=2, description="Images per class kept apart as the world's eval split.")
    vocabulary: int = Field(2560, ge=1000, description="Most tokens the tokenizer may learn.")
    latent_channels: int = Field(
        12, ge=1, description="Channels of the latents; they are a quarter of the image in size."
    )
    autoencoder_width: int = Field(
        32, ge=16, multiple_of=16, description="Channels of the autoencoder at full resolution."
    )
    autoencoder_steps: int = Field(2000, ge=1, description="Steps of 64 images.")
    denoiser_channels: tuple[int, int] = Field((64, 128), description="Channels of the UNet's two levels.")
    text_width: int = Field(128, ge=32, multiple_of=32, description="Width of the generator's text encoder.")
    denoiser_steps: int = Field(10_000, ge=1, description="Steps of 64 images.")
    num_inference_steps: int = Field(20, ge=1, description="Steps that the generator's folder asks for.")
    tower: str = Field("cs3darknet_focus_s", description="timm model of the encoder's image tower.")
    tower_size: int = Field(64, ge=32, description="Pixels of the tower's input.")
    embed_dim: int = Field(256, ge=8, description="Dimensions of the encoder's embeddings.")
    encoder_steps: int = Field(5000, ge=1, description="Steps of 128 images.")
    judge: str = Field(
        "test_resnet", description="timm model of the judge, a classifier of natural images that tells what was drawn."
    )
    judge_steps: int = Field(3900, ge=1, description="Steps of 128 images.")
    start: Path | None = Field(
        None,
        description="A world to go on from ('lab': the shipped one): its tokenizer and autoencoder are kept, the other parts begin with its weights.",
    )
    seed: int = Field(0, ge=0, description="Seed of weights, batches and captions.")


Augmentation = Literal["shift", "plain", "multi-crop", "randaug"]


class TrainRecipe(Spec):
    """How a classifier learns. The shipped ones stand in ``stages/training/recipes.py`` with their sources."""

    model: str = Field(description="timm architecture.")
    model_args: dict[str, Any] = Field(description="What timm's create_model gets beside the number of classes.")
    image_size: int = Field(ge=16, description="Pixels of the square that the model sees.")
    crop_share: float = Field(gt=0, le=1, description="image_size over the shorter side that is resized to at tests.")
    epochs: int = Field(ge=1, description="Passes over the images; a checkpoint follows each.")
    batch_size: int = Field(ge=1, description="Images of one step, over all processes.")
    learning_rate: float = Field(gt=0, description="Highest learning rate.")
    warmup: float = Field(ge=0, lt=1, description="Share of the steps in which the rate rises; a cosine to 0 follows.")
    momentum: float = Field(ge=0, lt=1)
    nesterov: bool
    weight_decay: float = Field(ge=0, description="Of weights; biases and norms have none.")
    label_smoothing: float = Field(ge=0, lt=1)
    average: float = Field(ge=0, lt=1, description="Decay of the moving average of the weights; 0 for none.")
    augmentation: Augmentation
    randaug_layers: int = Field(2, ge=1, description="Changes of each image, for randaug.")
    randaug_magnitude: float = Field(15.0, ge=0, le=20, description="Strength of each change, for randaug.")
    precision: Literal["float32", "bfloat16"]


class TrainSpec(Spec):
    """A classifier to train: a recipe, what differs from it, and how many images. None means as the recipe says."""

    recipe: str = Field("small", description="small (about 32x32), S or M (the papers').")
    model: str | None = Field(None, description="A timm architecture.")
    model_args: dict[str, Any] | None = Field(None, description="Arguments of the architecture, for --model.")
    epochs: int | None = Field(None, ge=1, description="Passes over the images; a checkpoint follows each.")
    iterations: int | None = Field(
        None, ge=1, description="Steps in all, whatever the number of images; the epochs share them evenly."
    )
    batch_size: int | None = Field(None, ge=1, description="Images of one step, over all processes.")
    learning_rate: float | None = Field(None, gt=0, description="Highest learning rate.")
    image_size: int | None = Field(None, ge=16, description="Pixels of the square that the model sees.")
    augmentation: Augmentation | None = Field(
        None,
        description="shift (small images), plain (PyTorch's crop and mirror), multi-crop (DINO's, 1 + 8), randaug (plain, then RandAugment).",
    )
    precision: Literal["float32", "bfloat16"] | None = Field(None, description="Of the forward pass.")
    images: int | None = Field(None, ge=2, description="Images in all, drawn evenly over the classes; all by default.")
    validation_share: float = Field(
        0.1, ge=0, lt=1, description="Share of each class kept apart for accuracy, where no --validation is given."
    )
    seed: int = Field(0, ge=0, description="Seed of weights, order, augmentation and choice of images.")


class EvaluateSpec(Spec):
    """How a classifier is scored."""

    split: str | None = Field(None, description="Split to score; eval, validation or test by default, else all.")
    bins: int = Field(15, ge=1, description="Bins of the expected calibration error.")
    bootstrap: int = Field(1000, ge=0, description="Bootstrap resamples for the 95 % intervals; 0 for none.")
    seed: int = Field(0, ge=0, description="Seed of the bootstrap.")


class ProofSpec(Spec):
    """How many networks stand behind a figure."""

    seeds: int = Field(
        3, ge=1, description="Networks per training set, each with its own weights, order and draw of images."
    )
    features: bool = Field(False, description="Analyse the features of each network on the test sets too (S App. B.1).")
    bootstrap: int = Field(1000, ge=0, description="Bootstrap resamples of the test images; 0 for none.")


class TransferSpec(Spec):
    """How a linear classifier is tuned and fitted on a frozen network's features (S App. A).

    S prints the solvers, the number of trials and the images' size; the ranges, the number of steps and the scaling of
    the features are those of the code that its authors published for the same protocol (t-ReX, ImageNet-CoG).
    """

    solver: Literal["lbfgs", "sgd", "sklearn"] | None = Field(
        None,
        description="lbfgs, sgd, or sklearn (scikit-learn's L-BFGS, as reference); by default sgd for iNaturalist and ImageNet-CoG, else lbfgs.",
    )
    trials: int = Field(30, ge=1, description="Settings that Optuna tries on the validation images (S: at least 25).")
    repeats: int = Field(3, ge=1, description="Times to tune and fit, each with its own validation images and trials.")
    normalise: Literal["none", "l2", "standard"] | None = Field(
        None, description="Scaling of the features; by default none for L-BFGS and l2 for SGD."
    )
    image_size: int | None = Field(
        None, ge=16, description="Pixels of the square that the model sees; its own size by default (S: 224)."
    )
    validation_share: float = Field(
        0.2, gt=0, lt=1, description="Share of each class kept apart for tuning, where neither set nor S Table 4 says."
    )
    test_share: float = Field(
        0.3, gt=0, lt=1, description="Share of each class kept apart as test, of a set without one (EuroSAT's in S)."
    )
    strengths: tuple[float, float] = Field((1e-5, 1e6), description="Range of C, the inverse of the L2 penalty.")
    max_steps: int = Field(2000, ge=1, description="Most steps of scikit-learn's L-BFGS.")
    tolerance: float = Field(1e-6, gt=0, description="Relative change of the objective at which L-BFGS ends.")
    learning_rates: tuple[float, float] = Field((0.1, 100.0), description="Range of SGD's highest learning rate.")
    weight_decays: tuple[float, float] = Field((1e-12, 1e-4), description="Range of SGD's weight decay.")
    momentum: float = Field(0.9, ge=0, lt=1, description="Of SGD.")
    epochs: int = Field(100, ge=1, description="Passes of SGD over the features; the rate falls along a cosine.")
    batch_size: int = Field(1024, ge=1, description="Images of one step of SGD.")
    bootstrap: int = Field(1000, ge=0, description="Bootstrap resamples for the 95 % intervals; 0 for none.")
    seed: int = Field(0, ge=0, description="Seed of splits, trials, order and bootstrap.")

    @model_validator(mode="after")
    def _ranges(self) -> Self:
        for name in ("strengths", "learning_rates", "weight_decays"):
            low, high = getattr(self, name)
            if not 0 < low <= high < float("inf"):
                raise ValueError(f"{name} is {low:g} to {high:g}; expected two numbers above 0, the smaller first")
        return self


_NO_FOLDER = re.compile(r"[/\\\x00-\x1f\x7f]|^[.]")
_LONGEST_NAME = 100


class StudySet(Spec):
    """One image set of a study: a folder that exists, or a set to draw; with a grid, a set for every combination."""

    name: str = Field(min_length=1, description="What the tables and the report call it.")
    description: str = Field("", description="One line for people.")
    path: str | None = Field(
        None,
        description="An image folder, a set folder or Parquet; 'lab:NAME' for a shipped one, 'data:NAME' for images of yours.",
    )
    preset: str | None = Field(None, description="A set of the papers to draw; what stands under 'generate' wins.")
    generate: GenerateSpec | None = Field(None, description="A set to draw, instead of a path.")
    grid: dict[str, tuple[Any, ...]] = Field(
        {},
        description="Keys of 'generate', or 'preset', with several values each: a set for every combination. The name says which, as in lab-{guidance_scale}.",
    )

    @field_validator("name")
    @classmethod
    def _name_of_a_folder(cls, name: str) -> str:
        if _NO_FOLDER.search(name) or len(name) > _LONGEST_NAME:
            raise ValueError(
                f"a set is called {name!r}; expected a folder's name: no slash, no dot ahead, at most {_LONGEST_NAME} characters"
            )
        return name

    @model_validator(mode="after")
    def _one_source(self) -> Self:
        if (self.path is None) == (self.generate is None and self.preset is None and not self.grid):
            raise ValueError(f"set {self.name!r} needs either 'path', or 'generate', 'preset' or 'grid'")
        known = ["preset", *GenerateSpec.model_fields]
        for key, values in self.grid.items():
            if key not in known:
                raise ValueError(f"grid.{key} of set {self.name!r} is no key of a set{nearest(key, known)}")
            if not values:
                raise ValueError(f"grid.{key} of set {self.name!r} is empty; expected a list of values")
            if len(values) > 1 and f"{{{key}}}" not in self.name:
                raise ValueError(f"set {self.name!r} has several values of {key}; expected {{{key}}} in its name")
        return self


class StudyClassifiers(Spec):
    """Networks that learn from the sets of a study, as ``synthgap matrix`` trains and scores them."""

    sets: tuple[str, ...] = Field(
        (),
        description="What to learn from: sets by their names, or mixtures such as both=natural@0.5+drawn@0.5; all by default, the natural one first. The first gives the number of steps.",
    )
    tests: tuple[str, ...] = Field(
        (),
        description="What to score on: sets by their names, or other images as NAME=PLACE, ImageNet's test sets by their names; by default every set with an eval split.",
    )
    train: TrainSpec = TrainSpec(validation_share=0.0)
    proof: ProofSpec = ProofSpec()

    @model_validator(mode="before")
    @classmethod
    def _nothing_kept_apart(cls, given: Any) -> Any:
        train = given.get("train") if isinstance(given, dict) else None
        return given | {"train": {"validation_share": 0.0} | train} if isinstance(train, dict) else given

    @model_validator(mode="after")
    def _all_images(self) -> Self:
        share = self.train.validation_share
        if share and "validation_share" in self.train.model_fields_set:
            raise ValueError(f"train.validation_share is {share:g}; here all images are learned from, so leave it out")
        return self


class StudyScaling(Spec):
    """The networks of ``classifiers`` on more and more images, as ``synthgap scaling`` trains them."""

    sets: tuple[str, ...] = Field((), description="What to learn from, as in 'classifiers'; the same by default.")
    sizes: tuple[Annotated[int, Field(ge=2)], ...] = Field(
        (), description="Images in all; by default 1, 3, 10, 30 and 100 % of the first set's."
    )


class StudyTransfer(Spec):
    """Frozen features of the networks of ``classifiers`` on other sets, as ``synthgap transfer`` scores them."""

    targets: tuple[str, ...] = Field(
        min_length=1, description="Sets as PLACE or NAME=PLACE, where NAME may be one of S Table 4, such as Pets."
    )
    sets: tuple[str, ...] = Field((), description="Whose networks, by name; those of 'classifiers' by default.")
    networks: int = Field(1, ge=1, description="Networks of each set, the first seeds'.")
    linear: TransferSpec = TransferSpec()


class StudySpec(Spec):
    """A study: natural images, the synthetic sets to set against them, how they are measured, and what proves it.

    A part that is not there is not run; ``{}`` runs it with its defaults.
    """

    data: dict[str, str | Literal[False] | None] = Field(
        {},
        description="Images of the user's own, which stand elsewhere as data:NAME. Without a folder the study asks for it; false leaves out the test sets and targets there.",
    )
    natural: StudySet
    sets: tuple[StudySet, ...] = Field(min_length=1, description="The first is the main pair of the summary.")
    encoder: EncoderSpec = EncoderSpec()
    measure: MeasureSpec = MeasureSpec()
    trials: TrialSpec | None = Field(None, description="Every set against every set, with classifiers of embeddings.")
    classifiers: StudyClassifiers | None = None
    scaling: StudyScaling | None = None
    transfer: StudyTransfer | None = None

    @model_validator(mode="after")
    def _data_can_be_set(self) -> Self:
        if odd := next((name for name in self.data if not name or set(name) & set(".=")), None):
            raise ValueError(f"data has the name {odd!r}; expected one without '.' and '=', for --set data.NAME=DIR")
        return self

    @model_validator(mode="after")
    def _unique_names(self) -> Self:
        names = [item.name for item in (self.natural, *self.sets)]
        twice = sorted({name for name in names if names.count(name) > 1})
        if twice:
            raise ValueError(f"two sets are called {twice[0]!r}; every set needs a name of its own")
        return self

    @model_validator(mode="after")
    def _parts(self) -> Self:
        if self.natural.grid:
            raise ValueError(f"set {self.natural.name!r} has a grid; expected one natural set")
        for name in ("scaling", "transfer"):
            if getattr(self, name) is not None and self.classifiers is None:
                raise ValueError(f"{name} takes the networks of 'classifiers'; add classifiers: {{}}")
        return self


class LearningResources(BaseModel):
    """How to train and score: never changes a result beyond rounding, never enters a fingerprint."""

    model_config = ConfigDict(frozen=True, extra="forbid", allow_inf_nan=False)

    device: str | None = Field(None, description="cpu, cuda, cuda:1 or mps; the best there is by default.")
    workers: int = Field(2, ge=1, description="Threads that decode and cut images, per process.")
    memory: float = Field(4.0, gt=0, description="GiB of images that are kept in memory, per process.")


class SweepSpec(Spec):
    """Settings of the generator to draw the same classes, prompts and noise at."""

    guidance: tuple[Annotated[float, Field(ge=1)], ...] = Field(
        (1.0, 2.5, 5.0, 7.5, 10.0),
        min_length=1,
        description="Guidance scales, such as 1,2.5,5,7.5,10; 1 means none, and none is below it.",
    )
    steps: tuple[Annotated[int, Field(ge=1, le=MOST_STEPS)], ...] = Field(
        (), description="Denoising steps, such as 20,50; those of --num-inference-steps by default."
    )
    rows: int = Field(2, ge=1, description="Images per class on the strip, each with its own noise.")
    shown: int = Field(12, ge=1, description="Classes on the strip.")


class ProbeSpec(Spec):
    """Prompts of one class to set against each other."""

    images: int = Field(50, ge=2, description="Images per prompt, drawn with the same noise.")
    permutations: int = Field(10_000, ge=1, description="Sign flips of the paired tests; the least p is 1 / (1 + n).")
    shown: int = Field(12, ge=1, description="Images per prompt on the strip.")


class TriageSpec(Spec):
    """How labels are put up for review."""

    per_label: int = Field(50, ge=2, description="Images per label that are looked at (M: 50).")
    judge: str = Field(
        "encoder",
        description="'encoder' (zero-shot over the labels' names), or a classifier: a folder of 'synthgap train', local-dir:FOLDER, hf-hub:ID or a timm model with weights.",
    )
    worst: int = Field(300, ge=1, description="Labels of lowest accuracy that come on the worklist (M: 300).")
    pictured: int = Field(50, ge=0, description="Labels of lowest accuracy that are shown with pictures.")
    pictures: int = Field(12, ge=1, description="Pictures per label.")
    permutations: int = Field(
        10_000, ge=1, description="Sign flips of the paired tests of --apply; the least p is 1 / (1 + n)."
    )


class RefineSpec(Spec):
    """Which findings change a set, and when a changed class is kept."""

    accept: tuple[str, ...] = Field(
        ("all",),
        description="Findings to act on: all, or classes (key or name) and causes, such as crane,over-adherent.",
    )
    target: str | None = Field(None, description="Set of the run to refine, by its name; the main one by default.")
    rounds: int = Field(1, ge=1, description="Times to diagnose, redraw and judge.")
    keep_worse: bool = Field(
        False, description="Keep a class that got worse on the steering half too, instead of bringing the old one back."
    )
    permutations: int = Field(10_000, ge=1, description="Sign flips of the paired tests; the least p is 1 / (1 + n).")
