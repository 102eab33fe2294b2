"""How lists are judged: metrics a user, intervals over users, audits, and the leaderboard."""
