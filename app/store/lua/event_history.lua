-- One record, and where its event stands in line.
--
-- arg: event_id
-- → {record (false where it is not kept), when it may be called or its call must be over ('' for neither), how many
--    are due before it, the life of this id that an operator removed ('' for none)}

-- include relay

local id = arg.event_id
local record, text, forgotten = read(id)
forgotten = forgotten or ''
if not record then return {false, '', '', forgotten} end
local due_at = redis.call('ZSCORE', DUE, id) or redis.call('ZSCORE', CALLING, id) or ''
return {text, due_at, redis.call('ZRANK', DUE, id) or '', forgotten}
