"""What runs on the workers, record by record."""
