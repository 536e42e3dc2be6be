"""The Redis and Valkey backend of sessiontracker."""
