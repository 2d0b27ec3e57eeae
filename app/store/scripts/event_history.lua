-- One record, and where its event stands in line.
--
-- arg: event_id
-- → {record, when it may be called or its call must be over ('' for neither), how many are due before it}
--   {} where it is not kept

-- include relay

local id = arg.event_id
local text = redis.call('GET', event_key(id))
if not text then return {} end
local due_at = redis.call('ZSCORE', DUE, id) or redis.call('ZSCORE', CALLING, id) or ''
return {text, due_at, redis.call('ZRANK', DUE, id) or ''}
