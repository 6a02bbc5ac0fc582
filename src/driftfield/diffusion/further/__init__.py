"""Part II: for whoever goes on."""
