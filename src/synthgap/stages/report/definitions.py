"""What each figure means, which way is better, and when it lies. M is arXiv:2311.00056, S is arXiv:2212.08420."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

from synthgap.stages.report.formats import Unit

Better = Literal["higher", "lower", "near"]
BETTER_WORDS = {
    "higher": "higher is closer to natural",
    "lower": "lower is closer to natural",
    "near": "neither way: near the natural value is best",
}


@dataclass(frozen=True, slots=True)
class Definition:
    """One figure, explained to a reader who has not read the papers."""

    name: str
    """The metric's name in ``measurements.parquet``, or a name of its own for what is derived from several."""
    label: str
    blurb: str
    """One line that stands beside the number."""
    meaning: str
    span: str
    """The range and its fixed points."""
    better: Better
    lies: str
    """When the figure misleads."""
    source: str
    unit: Unit = "number"
    floor: float = 0.0
    """Left end of the axis of shares and cosines."""

    @property
    def direction(self) -> str:
        """Which way is better, in words."""
        return BETTER_WORDS[self.better]


HEADLINE: tuple[Definition, ...] = (
    Definition(
        "centroid_accuracy",
        "Centroid accuracy",
        "synthetic images that land nearest to their own natural class",
        "The embeddings of a class's natural images are averaged into one direction, its centroid. An image counts as right when the nearest natural centroid is that of its own class; ties are drawn at random from the run's seed.",
        "0 to 100%; guessing gives one in the number of classes.",
        "higher",
        "A set that repeats one typical picture sits close to the centroid and scores above natural images: read it together with the diversity ratio.",
        "M section 3 (reason 3) and appendix A",
        "percent",
    ),
    Definition(
        "knn_accuracy@1",
        "Nearest-neighbour accuracy (k = 1)",
        "synthetic images whose nearest natural image has their class",
        "As centroid accuracy, but the natural images are not averaged: the nearest single image decides.",
        "0 to 100%; guessing gives one in the number of classes.",
        "higher",
        "One mislabelled or duplicated natural image decides about its whole neighbourhood.",
        "M section 5",
        "percent",
    ),
    Definition(
        "knn_accuracy@5",
        "Nearest-neighbour accuracy (k = 5)",
        "synthetic images whose five nearest natural images vote for their class",
        "The five nearest natural images vote; among classes with equal votes the nearest image decides.",
        "0 to 100%; guessing gives one in the number of classes.",
        "higher",
        "Depends on how many natural images there are: compare only between sets measured against the same ones.",
        "M section 5",
        "percent",
    ),
    Definition(
        "average_cosine_similarity",
        "Average cosine similarity",
        "how close images lie to their own natural class's centroid",
        "The cosine of the angle between an image's embedding and the natural centroid of its own class, averaged over images.",
        "−1 to 1; 1 is the same direction.",
        "higher",
        "Its scale belongs to the encoder. Prompts and images lie in different regions, so a prompt–image cosine of 0.25 can be excellent: compare like with like.",
        "M section 4 and table 6",
        "cosine",
    ),
    Definition(
        "centroid_shift",
        "Centroid shift",
        "how far the middle of each class has moved",
        "One minus the cosine between the natural and the synthetic centroid of a class, averaged over classes.",
        "0 to 2; 0 is the same direction. Two natural halves give a little more than 0.",
        "lower",
        "It says that the two sets mean different things, not which of them is wrong: a natural collection may be the odd one.",
        "M section 3 (reason 3)",
    ),
    Definition(
        "centroid_distance",
        "Diversity (centroid distance)",
        "how widely the images of a class spread",
        "The mean over a class's images of the squared (one minus cosine) to the set's own centroid, averaged over classes. The diversity ratio divides the synthetic by the natural value.",
        "0 to 4; 0 means that every image is the same.",
        "near",
        "Broken, off-topic and mislabelled images count as diversity too. The paper's printed set values (about 10⁻⁵) do not follow from its formula: compare ratios, not digits.",
        "M section 3 (reason 2)",
    ),
    Definition(
        "linear_separability",
        "Telling them apart",
        "held-out images that a linear classifier sorts into natural and synthetic",
        "A linear classifier learns to tell natural from synthetic embeddings and is tested on images it never saw.",
        "50% (it has to guess) to 100% (it always knows).",
        "lower",
        "With many dimensions and few images nearly everything separates; different compression or resizing of the two sets is found as readily as different content.",
        "M section 4, there for prompts against images",
        "percent",
        0.4,
    ),
    Definition(
        "frechet_distance",
        "Fréchet distance",
        "distance of the two sets as whole clouds",
        "Both clouds of embeddings are described by mean and covariance; the distance is the squared distance of the means plus what it takes to turn one covariance into the other.",
        "0 and up, without unit.",
        "lower",
        "Grows when images are few, and differs from encoder to encoder: only the baseline beside it, of the same size, gives it a scale. M found that its first term follows accuracy and its second does not.",
        "M section 3 (reason 2)",
    ),
)

BEYOND: tuple[Definition, ...] = (
    Definition(
        "precision",
        "Precision",
        "synthetic images inside the neighbourhood of a natural image of their class",
        "Around each natural image lies a ball that reaches to its fifth nearest natural image of the same class. An image counts as precise when it lies in at least one.",
        "0 to 100%.",
        "higher",
        "Natural outliers have wide balls that let much in.",
        "Kynkäänniemi et al. 2019",
        "percent",
    ),
    Definition(
        "density",
        "Density",
        "natural neighbourhoods that hold a synthetic image, over five",
        "As precision, but an image in a crowded place counts as often as there are natural balls around it.",
        "0 and up; 1 is like natural.",
        "near",
        "Above 1 is crowding in the most usual place, not more realism.",
        "Naeem et al. 2020",
    ),
    Definition(
        "coverage",
        "Coverage",
        "natural neighbourhoods that hold a synthetic image of their class",
        "The share of the balls around natural images in which at least one synthetic image lies.",
        "0 to 100%; about 97% for natural images of the same number.",
        "higher",
        "Grows with the number of synthetic images.",
        "Naeem et al. 2020",
        "percent",
    ),
    Definition(
        "recall",
        "Recall",
        "natural images inside the neighbourhood of a synthetic image",
        "As precision with the roles exchanged: the balls are those of the synthetic images.",
        "0 to 100%.",
        "higher",
        "A few synthetic outliers have wide balls and lift it: trust coverage.",
        "Kynkäänniemi et al. 2019",
        "percent",
    ),
    Definition(
        "covered_share",
        "Covered share of the variance",
        "natural variance, direction by direction, that the synthetic images have too",
        "The variance that is missing in the directions in which most of it is missing, over all the natural images have; one minus that. Variety of another kind makes up for nothing.",
        "0 to 100%; few images miss directions by chance, so the baseline and not 100% is the aim.",
        "higher",
        "Knows means and covariances only.",
        "this tool",
        "percent",
    ),
    Definition(
        "vendi_score",
        "Vendi score",
        "how many different images a class amounts to",
        "The exponential of the entropy of the eigenvalues of all cosines within a class, averaged over classes.",
        "1 (all alike) to the number of images or dimensions.",
        "near",
        "Noise is varied too; embeddings with a common mean, as CLIP's, give low scores.",
        "Friedman and Dieng 2023",
    ),
    Definition(
        "near_duplicate_share",
        "Near duplicates",
        "synthetic images that have almost the same image beside them",
        "Two images count as almost the same when they are as alike as the most alike twentieth of natural images are to their nearest.",
        "0 to 100%; the baseline is what natural images give.",
        "lower",
        "Grows with the number of images.",
        "this tool",
        "percent",
    ),
    Definition(
        "memorised_share",
        "Almost a natural image",
        "synthetic images nearer to a natural image than natural images are to each other",
        "Counted by the same likeness as near duplicates, between a synthetic image and its nearest natural one of the class. Of new natural images one in twenty would count.",
        "0 to 100%; 5% is like natural.",
        "lower",
        "Nearness is not copying: typical images are near as well. It says nothing of training images that were not given.",
        "after Somepalli et al. 2023",
        "percent",
    ),
    Definition(
        "kernel_distance",
        "CMMD",
        "kernel distance of the two sets, times 1,000",
        "Squared maximum mean discrepancy of unit vectors with a Gaussian kernel of width 10; assumes no Gaussian shape.",
        "About 0 for one population, and up.",
        "lower",
        "With so wide a kernel it sees the means and hardly the spread.",
        "Jayasumana et al. 2024",
    ),
    Definition(
        "frechet_distance_infinite",
        "Fréchet distance of endless sets",
        "the Fréchet distance without most of what few images add to it",
        "A line through the distances of ever larger subsets, read where the number of images is without end.",
        "May fall below 0 for sets that are alike.",
        "lower",
        "Needs many more images than the embeddings have dimensions.",
        "Chong and Forsyth 2020",
    ),
    Definition(
        "permutation_p_value",
        "Do they differ at all?",
        "p-value of a permutation test that both sets are samples of one population",
        "How often two sets dealt at random from all images are as far apart as these. Per class the p-values are adjusted for the number of classes (Holm).",
        "0 to 1; the least is one over the number of permutations.",
        "higher",
        "With many images every difference, however small, gives a small p: it tells that sets differ, never that it matters.",
        "Gretton et al. 2012",
    ),
)
"""Beyond the figures of M: shown below them, closed at first."""

DERIVED: tuple[Definition, ...] = (
    Definition(
        "baseline",
        "Baseline, natural against natural",
        "",
        "The natural images are split in two halves of the synthetic set's size, and one half is measured as if it were synthetic. What two honest draws from the same source differ by is not a gap.",
        "As the figure beside it.",
        "near",
        "Near-duplicates shared by both halves make the baseline too good.",
        "this tool",
    ),
    Definition(
        "interval",
        "Intervals",
        "",
        "95% bootstrap: the images are drawn again with replacement, and the middle 95% of the results are shown.",
        "As the figure beside it.",
        "near",
        "Covers the luck of which images were drawn, not the choice of encoder, prompts or natural collection.",
        "this tool",
    ),
    Definition(
        "severity",
        "Severity",
        "",
        "The share of what natural images of the class have (accuracy, spread, coverage) that the synthetic ones lack, by the gravest cause that is certain. For a sound class, the part that is proven, at most 0.1.",
        "0 (nothing is lost) to 1.",
        "lower",
        "One number for faults of different kinds: it ranks what to mend first. Severities found with another encoder do not compare.",
        "this tool, after M section 3",
    ),
    Definition(
        "error_total",
        "Error by shift and by diversity",
        "",
        "With the prompts as references, the total error is the share of synthetic images that land nearest to another class's prompt. Measured against the set's own centroids only the error by diversity is left; the difference is the error by shift.",
        "0 to 100% each; the shift part can come out below 0.",
        "lower",
        "Assumes that the encoder understands the prompts. Where it does not, its failure is booked as shift.",
        "M section 3 (reason 3)",
        "percent",
    ),
    Definition(
        "classifier",
        "What a classifier learns",
        "",
        "A classifier is trained on one set and tested on natural images that no set contains.",
        "0 to 100%; guessing gives one in the number of classes.",
        "higher",
        "A linear classifier on embeddings borrows what the encoder already knows; a network trained from nothing usually shows a wider gap.",
        "M tables 1 and 2, S section 5",
        "percent",
    ),
)

BY_NAME = {definition.name: definition for definition in HEADLINE + BEYOND + DERIVED}


def definitions_for(metrics: list[str], *, findings: bool, classifier: bool) -> list[Definition]:
    """The definitions that a page with these metrics and sections needs, in reading order."""
    wanted = {*metrics, "baseline", "interval"}
    wanted |= {"severity"} if findings else set()
    wanted |= {"classifier"} if classifier else set()
    return [definition for definition in HEADLINE + BEYOND + DERIVED if definition.name in wanted]
