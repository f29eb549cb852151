"""What training costs here: every way of agreeing side by side on the user's own pictures and machine."""
