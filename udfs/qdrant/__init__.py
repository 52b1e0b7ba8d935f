"""The edge to Qdrant: encode and judge are pure, client opens the only socket."""
