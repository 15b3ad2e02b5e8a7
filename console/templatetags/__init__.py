"""What templates of the console say in one tag."""
