-- Claims and schedules an event, or returns the record of the one that has its id.
--
-- arg: event_id, record (the fields that the event brings), text (of its message), max_backlog, confirm
-- → {'new', record} | {'duplicate', record} | {'reused', record} | {'too_old'} | {'full'}

-- include relay

local id = arg.event_id
local known, text = read(id)

if known then
  confirm()
  -- Not compared is what another release wrote (its fingerprint may be of another kind), and what was recovered
  -- from a log, which holds none.
  local is_comparable = is_readable(known) and known.fingerprint
  if is_comparable and known.fingerprint ~= arg.record.fingerprint then return {'reused', text} end
  return {'duplicate', text}
end

-- include changes

local record = arg.record
if record.occurred_ms and record.occurred_ms < now - record.ttl_ms then
  confirm()
  return {'too_old'}
end
if redis.call('ZCARD', DUE) + redis.call('ZCARD', CALLING) >= arg.max_backlog then return {'full'} end

-- Not begun with a removal, since a full Redis must refuse it. Scheduled before it is written: a take cleans up
-- an id without a record, while a record that is not scheduled would be lost.
redis.call('ZADD', DUE, now, id)
if arg.text then redis.call('SET', text_key(id), arg.text) end
local version = (record.member_id or record.tasks) and TASKS_VERSION or VERSION
text = update(id, record, {v = version, status = 'accepted', accepted_ms = now, attempt = 0, attempts = 0})
count_minute('accepted')
ring_bell()
return {'new', text}
