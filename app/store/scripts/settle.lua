-- Settles what a call came to: see settling.lua.

-- include relay
-- include transitions
-- include gate
-- include settling

return settle()
