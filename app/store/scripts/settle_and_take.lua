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
-- Whoever keeps this answer hears nothing of a grant.
if settled[1] == 'newer' then return {settled, wait('shut', 0)} end
return {settled, take()}
