"""The lint of a class list: what may go wrong with its names before anything is drawn (M reason 1, S 4.2).

What follows from names and WordNet alone; ``stages.linting`` adds the prompts.
"""

from synthgap.vocabulary.lint.ambiguity import lemma_risk, several_senses
from synthgap.vocabulary.lint.duplicates import duplicates
from synthgap.vocabulary.lint.kinds import kinds_of_others
from synthgap.vocabulary.lint.proposals import proposals
from synthgap.vocabulary.lint.pulls import UNUSED, definition_pulls, hypernym_pulls
from synthgap.vocabulary.lint.records import LEAST, Kind, LintFinding

__all__ = [
    "LEAST",
    "UNUSED",
    "Kind",
    "LintFinding",
    "definition_pulls",
    "duplicates",
    "hypernym_pulls",
    "kinds_of_others",
    "lemma_risk",
    "proposals",
    "several_senses",
]
