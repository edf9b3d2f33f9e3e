"""Vision-and-language tasks that the field compares models by: official files in, metrics and leaderboard files out."""
