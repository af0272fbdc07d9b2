"""synthgap: how far a synthetic image set is from natural images, why, class by class, and what to change."""

__version__ = "0.1.0"
