"""The benchmark: the job, two consumers written by hand and Qdrant's limit, on one machine and the same messages."""
