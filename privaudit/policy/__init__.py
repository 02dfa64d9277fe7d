"""An organisation's limits, and what a run says of them."""
