"""Recipes: the schema, the files, what the default chooses from the data, and the parts that a recipe names."""
