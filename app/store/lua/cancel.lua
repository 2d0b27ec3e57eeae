-- Ends an accepted event for an operator, before it is called (again). A grant that came first wins.
--
-- arg: event_id, by, token (of the command), failure, confirm
-- → {'cancelled', record} | {'missing'} | {'not_waiting', status} | {'newer'}

-- include relay
-- include transitions

local id = arg.event_id
local record, text = read(id)
if not record then return {'missing'} end
if not is_readable(record) then return {'newer'} end
if is_command_done(id, record) then return {'cancelled', text} end
if record.status ~= 'accepted' then return {'not_waiting', record.status} end

begin_writing()
return {'cancelled', fail(id, record, arg.failure, {
  command_token = arg.token, history = append_history(record, 'cancelled', {by = arg.by}),
})}
