"""Regression of one trait on others."""
