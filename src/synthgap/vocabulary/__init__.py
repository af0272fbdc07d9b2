"""Words and classes: WordNet 3.0's nouns, the shipped class lists, and a user's own lists. Imports only ``core``."""

from synthgap.vocabulary.lists import Resolution, class_list, places365, resolve, shipped_lists
from synthgap.vocabulary.senses import show
from synthgap.vocabulary.wordnet import senses, synset, synset_name

__all__ = [
    "Resolution",
    "class_list",
    "places365",
    "resolve",
    "senses",
    "shipped_lists",
    "show",
    "synset",
    "synset_name",
]
