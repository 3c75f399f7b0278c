-- How a call's legs sounded. migrations/sqlite/ holds the same; both change together.

ALTER TABLE calls ADD COLUMN quality jsonb;
COMMENT ON COLUMN calls.quality IS 'A list, one object a leg. Null while the call is live, and for calls that were never answered.';
