-- Counts the events of each kind, and reads the gate.
--
-- → {waiting, calling, held, failed, unreadable, ms since the first in line began to wait (0: none), ms of pause
--    left, gate}

-- include relay
-- include transitions

local MAX_CHECKED = 100   -- of the unreadable, those that no take has met for the longest time

local function waited_ms()
  local first = redis.call('ZRANGE', DUE, 0, 0)[1]
  if not first then return 0 end
  local record = read(first)
  if not record or not is_readable(record) then return 0 end
  return math.max(0, now - (record.deadline_from_ms or record.accepted_ms))
end

-- Events of due and calling whose record takes met and could not read. One that is in neither any more, or whose
-- record this release reads, goes from the list here.
local function count_unreadable()
  for _, id in ipairs(redis.call('ZRANGE', UNREADABLE, 0, MAX_CHECKED - 1)) do
    local is_open = redis.call('ZSCORE', DUE, id) or redis.call('ZSCORE', CALLING, id)
    local record = is_open and read(id)
    if not record or is_readable(record) then redis.call('ZREM', UNREADABLE, id) end
  end
  return redis.call('ZCARD', UNREADABLE)
end

trim_failed()
local pause_until = clamped_instant(redis.call('HGET', GATE, 'pause_until') or 0, MAX_DELAY_MS)
return {
  redis.call('ZCARD', DUE), redis.call('ZCARD', CALLING), redis.call('ZCARD', HELD), redis.call('ZCARD', FAILED),
  count_unreadable(), waited_ms(), math.max(0, pause_until - now), redis.call('HGETALL', GATE),
}
