-- The event whose published chat this is.
--
-- arg: chat_id
-- → {event id, record} | {}

local id = redis.call('GET', key('chat:' .. arg.chat_id))
local flat = id and redis.call('HGETALL', event_key(id)) or {}
if #flat == 0 then return {} end
return {id, flat}
