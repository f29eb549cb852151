"""What a user asks for, one verb a file: each puts the rooms below to work for one task."""
