"""What the gateway's benchmark is made of: an engine that only pretends, loads, arms, figures and their table."""
