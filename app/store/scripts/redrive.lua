-- An operator's wish to try a failed event again. Only where it is certain that no attempt made a chat.
--
-- arg: event_id, by, token (of the command); code, if only a failure with that code is to be tried again
-- → {'redriven', record} | {'missing'} | {'not_failed', status} | {'other_code'} | {'uncertain'} | {'newer'}

-- include relay
-- include transitions

local id = arg.event_id
local record = read(id)
if not record then return {'missing'} end
if not is_readable(record) then return {'newer'} end
if is_told_again(id) then return {'redriven', as_text(record)} end
if record.status ~= 'failed' then return {'not_failed', record.status} end
if arg.code and cjson.decode(record.failure)[1] ~= arg.code then return {'other_code'} end
if record.unknowns then return {'uncertain'} end

schedule(id, record, now, {since = now, settled = false, history = remember(record, 'redriven', arg)})
redis.call('PERSIST', event_key(id))
note_told(id)
return {'redriven', as_text(record)}
