-- Removes an event of a person for an operator: its record, its text, its place in line, its look-ups.
--
-- arg: event_id, index ('user:<user_id>' or 'member_chats:<member_id>'), field (user_id or member_id), value,
--      token (of the command), confirm
-- → 'forgotten' | 'gone' (there was no record) | 'not_theirs' | 'calling' (a grant is out) | 'newer'

-- include relay
-- include transitions

local id = arg.event_id
local text, mark = unpack(redis.call('MGET', event_key(id), key('forgotten:' .. id)))
local record = text and parse_record(text)   -- of a hidden life too: an earlier command was stopped half-way

local is_theirs = record and record[arg.field] == arg.value
if is_theirs and not is_readable(record) then return 'newer' end
if is_theirs and set_of(record) == CALLING then return 'calling' end

local function leave_index(name)
  if name ~= arg.index then redis.call('ZREM', key(name), id) end
end

begin_writing()
if is_theirs then
  -- From here on no take and no look-up finds the record, and no late answer writes it again.
  redis.call('SET', key('forgotten:' .. id), record.accepted_ms .. ' ' .. arg.token, 'PX', record.ttl_ms)
  local chat = record.chat_id and key('chat:' .. record.chat_id)
  if chat and redis.call('GET', chat) == id then redis.call('DEL', chat) end
  if record.member_id then redis.call('DEL', key('member:' .. record.member_id)) end
  -- While the record names them: a repeat of the command knows one index only.
  if record.user_id then leave_index('user:' .. record.user_id) end
  if record.member_id then leave_index('member_chats:' .. record.member_id) end
  redis.call('DEL', event_key(id), text_key(id))
end
-- Last: by these entries a repeat of the command finds the event.
if is_theirs or not record and mark then leave_sets_but(nil, id) end
redis.call('ZREM', key(arg.index), id)
if is_theirs or not record and string.match(mark or '', ' (.*)$') == arg.token then return 'forgotten' end
return record and 'not_theirs' or 'gone'
