-- How things stand, in one reading.
--
-- → {waiting, calling, held, failed, ms since the first in line began to wait (0: none), ms of pause left, gate}

-- include relay
-- include transitions

local function waited_ms()
  local first = redis.call('ZRANGE', DUE, 0, 0)[1]
  if not first then return 0 end
  local record = read(first) or {}
  return math.max(0, now - tonumber(record.since or record.accepted or now))
end

forget_ended()
local pause_until = instant(redis.call('HGET', GATE, 'pause_until') or 0, MAX_DELAY_MS)
return {
  redis.call('ZCARD', DUE), redis.call('ZCARD', CALLING), redis.call('ZCARD', HELD), redis.call('ZCARD', FAILED),
  waited_ms(), math.max(0, pause_until - now), redis.call('HGETALL', GATE),
}
