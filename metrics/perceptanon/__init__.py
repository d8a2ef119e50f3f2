"""PerceptAnon: a learned score of how anonymous people find an image (Patwari et al., ICML 2024)."""
