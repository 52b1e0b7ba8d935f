"""The pure part: messages, ids, vectors, payloads, routing and limits. No Flink, no network, no clock."""
