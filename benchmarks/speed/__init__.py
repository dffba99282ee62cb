"""Speed of pooling and evidence beside its peers, as ratios within one run."""
