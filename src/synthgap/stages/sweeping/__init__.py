"""The sweep: the same classes, prompts and noise at several settings of the generator (M reason 2, Fig. 3; S C.7)."""

from synthgap.stages.sweeping.curve import Curve, Meeting, meet_natural
from synthgap.stages.sweeping.ratio import diversity_rows
from synthgap.stages.sweeping.settings import Setting, settings

__all__ = ["Curve", "Meeting", "Setting", "diversity_rows", "meet_natural", "settings"]
