"""The stages: each reads tables and writes tables; never one another."""
