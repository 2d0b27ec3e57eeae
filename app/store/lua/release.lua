-- Gives back a grant that was not used: nothing was sent, and the gate counts nothing.
--
-- arg: token, confirm
-- → 'released' | 'ignored'

-- include relay
-- include transitions
-- include gate

begin_writing()
local gate = read_gate()
feed_back(gate, arg.token, 'neutral')
-- A probe under this token is not made either: the next worker makes it, and waits for no lease to end.
for field, holder in pairs(gate) do
  if holder == arg.token then redis.call('HDEL', GATE, field, (field:gsub('^probe:', 'probe_until:'))) end
end

local _, id = parse_taken(redis.call('GET', taken_key(arg.token)))
local record = id and read(id)
local result = 'ignored'
if record and is_readable(record) then
  if record.grant_token == arg.token then
    -- Due at once and, by the instant at which it was accepted, ahead of what came later.
    local is_create = not record.task
    schedule(id, record, clamped_instant(record.accepted_ms, 0), {
      attempts = record.attempts - (is_create and 1 or 0), unknowns = unknowns_without(record),
      history = append_history(record, 'released'),
    })
    result = 'released'
  else
    tidy_up(id, record)
  end
end
redis.call('SET', taken_key(arg.token), '', 'PX', TOMBSTONE_MS)   -- last: a delayed `take` gets nothing
return result
