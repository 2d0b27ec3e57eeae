-- The event whose published chat this is. A record of another release is returned: it may be the one.
--
-- arg: chat_id, confirm
-- → {event id, record} | {}

-- include relay

confirm()
local id = redis.call('GET', key('chat:' .. arg.chat_id))
if not id then return {} end
local record, text = read(id)
if not record or is_readable(record) and record.chat_id ~= arg.chat_id then return {} end
return {id, text}
