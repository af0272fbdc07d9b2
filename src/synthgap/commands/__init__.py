"""The subcommands, by what they work on; ``cli`` puts them together. Each only turns options into one call, and prints what it returns."""
