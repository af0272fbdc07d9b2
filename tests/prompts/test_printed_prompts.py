"""Every prompt that the two papers and the slides print, letter for letter, or the reason why it cannot be.

M is arXiv:2311.00056, S is arXiv:2212.08420v1, "slides" are S's of CVPR 2023.
"""

from __future__ import annotations

from dataclasses import dataclass
from itertools import cycle, product

import pytest

from synthgap.core.specs import GenerateSpec
from synthgap.prompts import RECIPES, PromptWriter
from synthgap.prompts.wording import hypernym_words, name_prompt
from synthgap.vocabulary import class_list, places365, synset

PAPILLON = "small slender toy spaniel with erect ears and a black-spotted brown to white coat"
SARONG = "a loose skirt consisting of brightly colored fabric wrapped around the body; worn by both women and men in the South Pacific"
FIDDLER = "burrowing crab of American coastal regions having one claw much enlarged in the male"


def written(recipe: str, wnid: str, index: int = 0) -> str:
    """Prompt of a recipe, or of a template where it holds a brace."""
    settings = {"recipe": "template", "template": (recipe,)} if "{" in recipe else {"recipe": recipe}
    return PromptWriter.of(GenerateSpec(**settings), [synset(wnid)]).write(synset(wnid), index).text


PRINTED = [
    # where it is printed, recipe or template, class, prompt
    ("S 4.1, Fig. 2b; slides", "name", "n02086910", "papillon"),
    ("slides", "name", "n01820546", "lorikeet"),
    ("slides", "name", "n03947888", "pirate, pirate ship"),
    ("S C.7, Fig. 15", "name", "n01558993", "robin, American robin, Turdus migratorius"),
    ("S C.1", "name", "n04592741", "wing"),
    ("S C.1", "name", "n01749939", "green mamba"),
    ("S C.2", "name", "n04136333", "sarong"),
    ("S C.2", "name", "n04229816", "ski mask"),
    ("S Fig. 7b", "name", "n02086240", "Shih-Tzu"),
    ("S C.3, Fig. 9b", "name", "n01980166", "fiddler crab"),
    ("S 4.2", "hypernym", "n02086910", "papillon, toy spaniel"),
    ("S 4.2", "hypernym", "n03947888", "pirate, pirate ship, ship"),
    ("S C.1, Fig. 7c", "hypernym", "n02086240", "Shih-Tzu, toy dog"),
    ("S C.1", "hypernym", "n02859443", "boathouse, shed"),
    ("S 4.2", "definition", "n02086910", f"papillon, {PAPILLON}"),
    ("S 4.2", "definition", "n03947888", "pirate, pirate ship, a ship that is manned by pirates"),
    ("S C.2", "definition", "n04136333", f"sarong, {SARONG}"),
    ("S C.3", "definition", "n01978455", "rock crab, Cancer irroratus, crab of eastern coast of North America"),
    ("S C.3", "definition", "n01980166", f"fiddler crab, {FIDDLER}"),
    ("S 4.3", "multiple", "n02086910", "a photo of multiple papillon, toy spaniel"),
    ("S 4.3, Fig. 8b", "multiple-different", "n02086240", "a photo of multiple different Shih-Tzu, toy dog"),
    ("S 4.1, CLIP's", "a photo of {name}", "n02086910", "a photo of papillon"),
    ("M 3, reason 1", "name", "n01694178", "African chameleon, Chamaeleo chamaeleon"),
    ("M Fig. 2", "name", "n01847000", "drake"),
    ("M Fig. 2", "name", "n04579145", "whiskey jug"),
    ("M Fig. 5, Synset", "name", "n01580077", "jay"),
    ("M Fig. 5, Synset", "name", "n03786901", "mortar"),
    ("M Fig. 5, Synset", "name", "n02012849", "crane"),
    ("M Fig. 5, Disamb", "disambiguated", "n01580077", "a bird of type jay"),
    ("M Fig. 5, Disamb", "disambiguated", "n02895154", "breastplate"),
    ("M Fig. 5, Disamb", "disambiguated", "n03786901", "mortar and pestle"),
    ("M Fig. 5, Disamb", "disambiguated", "n02012849", "a crane bird"),
    ("M reason 2, CLIP's", "a photo of a {name}", "n02012849", "a photo of a crane"),
    ("M Fig. 8, Table 4", "disambiguated", "n03481172", "hammer"),
    ("M Fig. 8, Table 4", "disambiguated", "n03804744", "nail"),
    ("M App. B, Fig. 9", "name", "n04146614", "school bus"),
    ("M App. B, Fig. 9", "yellow {name}", "n04146614", "yellow school bus"),
    ("M App. B, Fig. 9", "purple {name}", "n04146614", "purple school bus"),
    ("M App. B, Fig. 9", "purple {name} in a jungle", "n04146614", "purple school bus in a jungle"),
    ("M App. B, Fig. 10", "disambiguated", "n01806567", "quail"),
]


@pytest.mark.parametrize(("place", "recipe", "wnid", "prompt"), PRINTED)
def test_printed(place: str, recipe: str, wnid: str, prompt: str) -> None:
    assert written(recipe, wnid) == prompt, place


S_TABLE_2 = {
    "name": "c",
    "hypernym": "c, h_c",
    "definition": "c, d_c",
    "multiple": "a photo of multiple c, h_c",
    "multiple-different": "a photo of multiple different c, h_c",
    "background": "c, h_c inside b",
}


@pytest.mark.parametrize("recipe", S_TABLE_2)
@pytest.mark.parametrize("wnid", ["n02086910", "n03947888", "n02086240"])
def test_the_formulas_of_s_table_2(recipe: str, wnid: str) -> None:
    assert RECIPES[recipe].pattern == S_TABLE_2[recipe]
    entry, words = synset(wnid), S_TABLE_2[recipe].replace(", ", " , ").split()
    letters = {"c": name_prompt(entry), "h_c": hypernym_words(entry), "d_c": entry.definition, "b": places365()[0]}
    assert written(recipe, wnid) == " ".join(letters.get(word, word) for word in words).replace(" , ", ", ")


def test_all_six_of_s_table_2_take_turns_and_background_meets_all_scenes() -> None:
    entry = synset("n02086910")
    writer = PromptWriter.of(GenerateSpec(recipe="all-six"), [entry])
    prompts = [writer.write(entry, index) for index in range(6 * 365)]
    # all(), as pytest takes minutes to show how two long lists differ
    assert all(prompt.recipe == recipe for prompt, recipe in zip(prompts, cycle(S_TABLE_2), strict=False))
    assert all(
        prompt.text == f"papillon, toy spaniel inside {scene}"
        for prompt, scene in zip(prompts[5::6], places365(), strict=True)
    )


M_FIG_10 = [
    "beautiful, common, extremely small quail, with many other other objects visible. Hyper-sharp.",
    "old, common, extremely large size quail, centered in the image. Typical snapshot.",
    "ugly, extremely uncommon, slightly small size quail, centered in the image. Hyper-sharp.",
]


def test_prompts_of_m_fig_10_are_among_the_augmented_ones_of_quail() -> None:
    quail = synset("n01806567")
    writer = PromptWriter.of(GenerateSpec(recipe="augmented", seed=3), [quail])
    prompts = {writer.write(quail, index).text for index in range(writer.count(quail))}
    assert len(prompts) == writer.count(quail) == 86_400
    assert prompts.issuperset(M_FIG_10)


@dataclass(frozen=True)
class Apart:
    """What a paper prints in another way than its own rule, or than WordNet 3.0, makes it."""

    place: str
    printed: str
    recipe: str
    wnid: str
    ours: str
    reason: str


EXCEPTIONS = [
    Apart(
        "slides, 'Tackling semantic & domain issues'", "pirate ship, ship", "hypernym", "n03947888",
        "pirate, pirate ship, ship", "the slide before prints c as 'pirate, pirate ship'; this one abbreviates",
    ),
    Apart(
        "S 4.1", "pirate ship", "name", "n03947888", "pirate, pirate ship",
        "S names the class by one lemma; its prompt has them all, comma separated (S 4.1, slides)",
    ),
    Apart(
        "S C.1", "walking stick", "name", "n02231487", "walking stick, walkingstick, stick insect",
        "S names the class by one lemma; its prompt has them all (S 4.1)",
    ),
    Apart(
        "S C.1", "iron", "name", "n03584829", "iron, smoothing iron",
        "S names the class by one lemma; its prompt has them all (S 4.1)",
    ),
    Apart("S C.1", "shih-tzu", "name", "n02086240", "Shih-Tzu", "WordNet's capitals, which S prints in Fig. 7 and 10"),
    Apart(
        "S Fig. 9", "Rock crab", "name", "n01978455", "rock crab, Cancer irroratus",
        "a caption's capital and one lemma; C.3 prints 'rock crab'",
    ),
    Apart(
        "S Fig. 9", "Fiddler crab", "name", "n01980166", "fiddler crab", "a caption's capital; C.3 prints it without",
    ),
    Apart(
        "M reason 1", "chameleon", "name", "n01694178", "African chameleon, Chamaeleo chamaeleon",
        "the short name of ImageNet, which M does not use as a prompt",
    ),
    Apart(
        "M Fig. 5, first column", "breastplate", "name", "n02895154", "breastplate, aegis, egis",
        "the figure names the class; the prompt was clarified, so Synset's was another, and WordNet's is this one",
    ),
]  # fmt: skip


@pytest.mark.parametrize("apart", EXCEPTIONS, ids=lambda apart: f"{apart.place}: {apart.printed}")
def test_exceptions_are_what_they_say(apart: Apart) -> None:
    assert written(apart.recipe, apart.wnid) == apart.ours != apart.printed, apart.reason


def test_m_fig_4_names_the_values_that_fig_10_spells_out() -> None:
    """Fig. 4 prints identifiers (partially_occluded, centered, overexposed, hyper_sharp_image): a sketch, no prompts."""
    quail = synset("n01806567")
    writer = PromptWriter.of(GenerateSpec(recipe="augmented"), [quail])
    some = "\n".join(writer.write(quail, index).text for index in range(500))
    in_full = ["partially occluded", "centered in the image", "Overexposed", "Hyper-sharp"]
    in_full += ["beautiful", "ugly", "slightly", "very", "uncommon", "typical", "small", "large"]
    assert all(value in some for value in in_full)
    assert not any(value in some for value in ("partially_occluded", "hyper_sharp_image"))


S_FIG_10_TO_14 = """
robin; Gila monster; hognose snake; garter snake; green mamba; garden spider; lorikeet; goose; rock crab; fiddler crab;
American lobster; little blue heron; American coot; Chihuahua; Shih-Tzu; papillon; toy terrier; Walker hound;
English foxhound; borzoi; Saluki; American Staffordshire terrier; Chesapeake Bay retriever; vizsla; kuvasz; komondor;
Rottweiler; Doberman; boxer; Great Dane; standard poodle; Mexican hairless; coyote; African hunting dog; red fox; tabby;
meerkat; dung beetle; walking stick; leafhopper; hare; wild boar; gibbon; langur; ambulance; bannister; bassinet;
boathouse; bonnet; bottlecap; car wheel; chime; cinema; cocktail shaker; computer keyboard; Dutch oven; football helmet;
gasmask; hard disc; harmonica; honeycomb; iron; jean; lampshade; laptop; milk can; mixing bowl; modem; moped;
mortarboard; mousetrap; obelisk; park bench; pedestal; pickup; pirate; purse; reel; rocking chair; rotisserie;
safety pin; sarong; ski mask; slide rule; stretcher; theater curtain; throne; tile roof; tripod; tub; vacuum;
window screen; wing; head cabbage; cauliflower; pineapple; carbonara; chocolate sauce; gyromitra; stinkhorn
"""


def test_prompts_of_imagenet_100_begin_with_the_names_of_s_fig_10_to_14() -> None:
    printed = [" ".join(name.split()) for name in S_FIG_10_TO_14.split(";")]
    entries = class_list("imagenet-100")
    assert sorted(entry.lemmas[0] for entry in entries) == sorted(printed)
    assert len(set(printed)) == 100
    writer = PromptWriter.of(GenerateSpec(recipe="all-six"), entries)
    for entry, index in product(entries, range(6)):
        assert entry.lemmas[0] in writer.write(entry, index).text
