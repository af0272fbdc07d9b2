"""Records, specs, fingerprints, seeds and errors: what every layer shares. Imports nothing of ours."""
