"""Who is measured: each knows how to start its servers and how it is called."""
