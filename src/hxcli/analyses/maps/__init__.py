"""Stochastic maps of traits of states."""
