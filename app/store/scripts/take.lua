-- Grants the next call, or says what to do instead: see taking.lua.

-- include relay
-- include transitions
-- include gate
-- include taking

return take()
