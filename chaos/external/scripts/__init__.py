"""Programs that are started as processes: servers, publishers, and clients of vendors that check servers."""
