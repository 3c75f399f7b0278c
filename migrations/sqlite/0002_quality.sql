-- How a call's legs sounded: a JSON list, one object a leg. migrations/postgres/ holds the same; both change together.

-- None while the call is live, and for calls that were never answered.
ALTER TABLE calls ADD COLUMN quality TEXT;
