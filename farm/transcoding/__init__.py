"""From one transfer syntax to another: what is to be done, by rule, and what it does to frames and attributes."""
