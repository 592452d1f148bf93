"""Codecs in a process of their own: a crash, a hang or want of memory there costs one instance and nothing else."""
