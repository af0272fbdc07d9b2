"""One function over many shards: local processes, launcher ranks, Ray. Imports only ``core``."""
