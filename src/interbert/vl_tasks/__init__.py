"""Vision-and-language tasks that the field compares models by: official files in, a metric and a leaderboard file out."""
