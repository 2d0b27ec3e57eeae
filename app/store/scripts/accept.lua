-- Claims and schedules an event, or answers for the one that is known under its id.
--
-- arg: event_id, user_id, fingerprint, ttl_ms, max_backlog, is_acknowledged; on_unknown, metadata (JSON),
--      occurred_ms, traceparent where the event has them
-- → {'new', when it was accepted} | {'duplicate', record} | {'reused'} | {'too_old'} | {'full'}

-- include relay

local id = arg.event_id
local text = redis.call('GET', event_key(id))

if text then
  -- Not compared is what a newer release wrote (its fingerprint may be of another kind), and what was read
  -- back from a log, which holds none.
  local version, status, fingerprint = string.match(text, '^(.-)\n(.-)\n.-\n([^\n]*)')
  local is_comparable = is_readable({v = version, status = status}) and fingerprint ~= ''
  if is_comparable and fingerprint ~= arg.fingerprint then return {'reused'} end
  if arg.is_acknowledged then write_again(id, text) end
  return {'duplicate', text}
end

-- include changes

if arg.occurred_ms and arg.occurred_ms < now - arg.ttl_ms then return {'too_old'} end
if redis.call('ZCARD', DUE) + redis.call('ZCARD', CALLING) >= arg.max_backlog then return {'full'} end

-- Scheduled before it is written: a script has no rollback, and an id without a record is cleaned up by
-- whoever takes it, while a record that nobody schedules would be lost.
redis.call('ZADD', DUE, now, id)
update(id, {}, {
  v = VERSION, status = 'accepted', user = arg.user_id, fingerprint = arg.fingerprint, accepted = now,
  ttl = arg.ttl_ms, attempt = 0, attempts = 0, on_unknown = arg.on_unknown, metadata = arg.metadata,
  traceparent = arg.traceparent,
})
ring()
return {'new', now}
