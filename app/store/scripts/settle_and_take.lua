-- Settles what a call came to, and grants the next one: see settling.lua and taking.lua, whose arguments come
-- together.
--
-- → {what a settle replies, what a take replies}

-- include relay
-- include transitions
-- include gate
-- include settling
-- include taking

local settled = settle()
return {settled, take()}
