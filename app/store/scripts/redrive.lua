-- Tries a failed event again for an operator, if no attempt can have made a chat.
--
-- arg: event_id, by, token (of the command); code, if only a failure with that code is to be tried again
-- → {'redriven', record} | {'missing'} | {'not_failed', status} | {'other_code'} | {'uncertain'} | {'newer'}

-- include relay
-- include transitions

local id = arg.event_id
local record = read(id)
if not record then return {'missing'} end
if not is_readable(record) then return {'newer'} end
if is_command_done(id) then return {'redriven', cjson.encode(record)} end
if record.status ~= 'failed' then return {'not_failed', record.status} end
if arg.code and record.failure.code ~= arg.code then return {'other_code'} end
if record.unknowns then return {'uncertain'} end

schedule(id, record, now, {
  deadline_from_ms = now, settled_ms = false, history = append_history(record, 'redriven', arg),
})
mark_command_done(id)
return {'redriven', cjson.encode(record)}
