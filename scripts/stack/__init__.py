"""The local stack for the demo and the tests: real Kafka, Flink and Qdrant on 127.0.0.1, gone when their starter is."""
