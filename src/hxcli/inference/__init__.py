"""How unknowns are found, whatever the model: maximum likelihood, quadrature, sampling, mixtures."""
