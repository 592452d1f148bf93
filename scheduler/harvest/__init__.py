"""What a harvest is made of: the list, its queries, when they may be asked, and what may be said of the answers."""
