"""The Bayesian posterior of all nodes and of the parameters, trait by trait."""
