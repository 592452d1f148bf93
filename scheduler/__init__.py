"""The scheduler program: it finds instances, feeds the queues, takes back what was lost, and ends runs."""
