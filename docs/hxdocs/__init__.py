"""What makes the documentation: command pages, man pages and the site. Used in a checkout, not installed."""
