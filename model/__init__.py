"""The method: golden integer functions and schedules (numpy only), and the torch library."""
