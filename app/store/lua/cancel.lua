-- Ends an event for an operator while no grant of it is out: it fails or, once it is opened, its next task does. A
-- grant that came first wins.
--
-- arg: event_id, by, token (of the command), failure, confirm
-- → {'cancelled', record} | {'missing'} | {'has_grant', task behind or before the create} | {'not_waiting', status} |
--   {'newer'}

-- include relay
-- include transitions
-- include tasks

local id = arg.event_id
local record, text = read(id)
if not record then return {'missing'} end
if not is_readable(record) then return {'newer'} end
if is_command_done(id, record) then return {'cancelled', text} end
if record.task then return {'has_grant', record.task} end
if set_of(record) ~= DUE then return {'not_waiting', record.status} end

begin_writing()
if record.chat_id then
  text = fail_task(id, record, arg.failure, 'cancelled', {command_token = arg.token, by = arg.by})
else
  text = fail(id, record, arg.failure, {
    command_token = arg.token, history = append_history(record, 'cancelled', {by = arg.by}),
  })
end
return {'cancelled', text}
