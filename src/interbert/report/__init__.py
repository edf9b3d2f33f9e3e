"""What a training run did, on one page: curves against chance, guesses on pairs it never saw, settings, origin."""
