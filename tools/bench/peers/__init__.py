"""What the relay is measured against; each is as small as its job allows."""
