-- Decides about a held event for an operator. A settle that came first wins: only held events are resolved.
--
-- arg: event_id, by, token (of the command), confirm; action 'chat' (with chat, fields of the record), 'recreate'
--      or 'give_up' (with failure)
-- → {'resolved', record} | {'missing'} | {'not_held', status} | {'owned', event id} | {'newer'}

-- include relay
-- include transitions

local id = arg.event_id
local record, text = read(id)
if not record then return {'missing'} end
if not is_readable(record) then return {'newer'} end
if is_command_done(id, record) then return {'resolved', text} end
if record.status ~= 'unknown' then return {'not_held', record.status} end

local chat_id = arg.chat and arg.chat.chat_id
if chat_id then
  local owner = redis.call('GET', key('chat:' .. chat_id))
  if owner and owner ~= id then return {'owned', owner} end
end

begin_writing()
local changes = arg.chat or {}
changes.command_token = arg.token
changes.history = append_history(record, 'resolved', {by = arg.by, action = arg.action, chat_id = chat_id})
if arg.action == 'chat' then
  text = open(id, record, changes)
elseif arg.action == 'recreate' then
  -- I3: consent to one more call. The event's deadline begins anew, or an old one would expire at once.
  changes.deadline_from_ms = now
  text = schedule(id, record, now, changes)
else
  text = fail(id, record, arg.failure, changes)
end
return {'resolved', text}
