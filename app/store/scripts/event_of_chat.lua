-- The event whose published chat this is.
--
-- arg: chat_id
-- → {event id, record} | {}

-- include relay

local id = redis.call('GET', key('chat:' .. arg.chat_id))
local text = id and redis.call('GET', event_key(id))
return text and {id, text} or {}
