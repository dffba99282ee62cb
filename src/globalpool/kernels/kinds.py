"""The pools whose terms are exponentials or powers, by number: compiled loops take no strings."""

#: ``log(mean exp(rate x)) / rate``; the same of ``-x``, negated; the mean weighted by ``softmax(rate x)``;
#: ``(mean max(x, floor)^rate)^(1 / rate)``.
LOG_MEAN_EXP, SMOOTH_MINIMUM, SOFTMAX, POWER = 0, 1, 2, 3
