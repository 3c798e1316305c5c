"""Secret values: holding, making and storing them. Knows nothing of files or engines."""
