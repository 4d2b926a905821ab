"""Where rows come from: each source turns parameters into statistics."""
