"""CyCADA: cycle-consistent adversarial domain adaptation (Hoffman et al., ICML 2018)."""
