"""Tests of what a release publishes: `make release-check` runs them all."""
