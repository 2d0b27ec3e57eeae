-- Tries a failed event again for an operator, if no attempt can have made a chat.
--
-- arg: event_id, by, token (of the command); code, if only a failure with that code is to be tried again; confirm
-- → {'redriven', record} | {'missing'} | {'not_failed', status} | {'other_code'} | {'uncertain'} | {'newer'}

-- include relay
-- include transitions

local id = arg.event_id
local record, text = read(id)
if not record then return {'missing'} end
if not is_readable(record) then return {'newer'} end
if is_command_done(id, record) then return {'redriven', text} end
if record.status ~= 'failed' then return {'not_failed', record.status} end
if arg.code and record.failure.code ~= arg.code then return {'other_code'} end
if record.unknowns then return {'uncertain'} end

begin_writing()
return {'redriven', schedule(id, record, now, {
  deadline_from_ms = now, settled_ms = false, command_token = arg.token,
  history = append_history(record, 'redriven', {by = arg.by}),
})}
