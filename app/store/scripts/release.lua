-- Gives back a grant that was not used, known or not: nothing was sent, and the gate counts nothing.
--
-- arg: token
-- → 'released' | 'ignored'

-- include relay
-- include transitions
-- include gate

local taken = taken_key(arg.token)
local id = redis.call('GET', taken)
redis.call('DEL', taken)
redis.call('SET', taken, '', 'PX', TOMBSTONE_MS)   -- a delayed `take` gets nothing
feed_back(arg.token, 'neutral')

-- A probe under this token is not made either: the next worker makes it, and waits for no lease to end.
for field, holder in pairs(as_table(redis.call('HGETALL', GATE))) do
  if holder == arg.token then redis.call('HDEL', GATE, field, (field:gsub('^probe:', 'probe_until:'))) end
end

local record = id and id ~= '' and read(id)
if not record or not is_readable(record) or record.grant_token ~= arg.token then return 'ignored' end
-- Due at once and, by the instant at which it was accepted, ahead of what came later.
schedule(id, record, clamped_instant(record.accepted_ms, 0), {
  attempts = record.attempts - 1, unknowns = unknowns_without(record),
  history = append_history(record, 'released'),
})
return 'released'
