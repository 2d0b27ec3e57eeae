-- An operator's decision about a held event. Nothing but a held event can be resolved: what a settle came
-- first with stands.
--
-- arg: event_id, by, token (of the command); action 'chat' (with chat_id, chat (JSON)), 'recreate' or
--      'give_up' (with failure (JSON))
-- → {'resolved', record} | {'missing'} | {'not_held', status} | {'owned', event id} | {'newer'}

-- include relay
-- include transitions

local id = arg.event_id
local record = read(id)
if not record then return {'missing'} end
if not is_readable(record) then return {'newer'} end
if is_told_again(id) then return {'resolved', as_text(record)} end
if record.status ~= 'unknown' then return {'not_held', record.status} end

local function by_chat()
  local owner = redis.call('GET', key('chat:' .. arg.chat_id))
  if owner and owner ~= id then return {'owned', owner} end
  open(id, record, {chat_id = arg.chat_id, chat = arg.chat, history = remember(record, 'resolved', arg)})
end

-- I3: consent to one more call. The event's deadline begins anew, or an old one would expire at once.
local function by_recreating()
  schedule(id, record, now, {since = now, history = remember(record, 'resolved', arg)})
end

local function by_giving_up()
  fail(id, record, arg.failure, {history = remember(record, 'resolved', arg)})
end

local RESOLVE = {chat = by_chat, recreate = by_recreating, give_up = by_giving_up}
local refusal = RESOLVE[arg.action]()
if refusal then return refusal end
note_told(id)
return {'resolved', as_text(record)}
