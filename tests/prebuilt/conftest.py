"""The two ways in which programs are compiled for the tests of the sweeps."""

from tests.analyses.conftest import programs

__all__ = ["programs"]
