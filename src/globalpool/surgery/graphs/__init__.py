"""Networks over graphs taken apart at their readout."""
