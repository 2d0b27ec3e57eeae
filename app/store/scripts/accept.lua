-- Claims and schedules an event, or answers for the one that is known under its id.
--
-- arg: event_id, record (the fields that the event brings), max_backlog, is_acknowledged; occurred_ms where the
--      event has it
-- → {'new', record} | {'duplicate', record} | {'reused'} | {'too_old'} | {'full'}

-- include relay

local id = arg.event_id
local known, text = read(id)

if known then
  -- Not compared is what another release wrote (its fingerprint may be of another kind), and what was recovered
  -- from a log, which holds none.
  local is_comparable = is_readable(known) and known.fingerprint
  if is_comparable and known.fingerprint ~= arg.record.fingerprint then return {'reused'} end
  if arg.is_acknowledged then rewrite(id, text) end
  return {'duplicate', text}
end

-- include changes

local record = arg.record
if arg.occurred_ms and arg.occurred_ms < now - record.ttl_ms then return {'too_old'} end
if redis.call('ZCARD', DUE) + redis.call('ZCARD', CALLING) >= arg.max_backlog then return {'full'} end

-- Scheduled before it is written: a script has no rollback. A take cleans up an id without a record, while a
-- record that is not scheduled would be lost.
redis.call('ZADD', DUE, now, id)
text = update(id, record, {v = VERSION, status = 'accepted', accepted_ms = now, attempt = 0, attempts = 0})
ring_bell()
return {'new', text}
