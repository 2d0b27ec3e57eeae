-- Decides about a held event for an operator. A settle that came first wins: only held events are resolved.
--
-- arg: event_id, by, token (of the command); action 'chat' (with chat, fields of the record), 'recreate' or
--      'give_up' (with failure)
-- → {'resolved', record} | {'missing'} | {'not_held', status} | {'owned', event id} | {'newer'}

-- include relay
-- include transitions

local id = arg.event_id
local record = read(id)
if not record then return {'missing'} end
if not is_readable(record) then return {'newer'} end
if is_command_done(id) then return {'resolved', cjson.encode(record)} end
if record.status ~= 'unknown' then return {'not_held', record.status} end

if arg.action == 'chat' then
  local owner = redis.call('GET', key('chat:' .. arg.chat.chat_id))
  if owner and owner ~= id then return {'owned', owner} end
end

local history = append_history(record, 'resolved', arg)
if arg.action == 'chat' then
  arg.chat.history = history
  open(id, record, arg.chat)
elseif arg.action == 'recreate' then
  -- I3: consent to one more call. The event's deadline begins anew, or an old one would expire at once.
  schedule(id, record, now, {deadline_from_ms = now, history = history})
else
  fail(id, record, arg.failure, {history = history})
end
mark_command_done(id)
return {'resolved', cjson.encode(record)}
