"""Sessions and locks in a SQL database: the ``sql`` backend of sessiontracker."""
