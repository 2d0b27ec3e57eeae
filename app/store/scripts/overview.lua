-- How things stand, in one reading.
--
-- → {waiting, calling, held, failed, ms since the first waiting event was accepted (0: none), now, gate}

local first = redis.call('ZRANGE', DUE, 0, 0)[1]
local accepted = first and redis.call('HGET', event_key(first), 'accepted')
return {
  redis.call('ZCARD', DUE), redis.call('ZCARD', CALLING), redis.call('ZCARD', HELD), redis.call('ZCARD', FAILED),
  accepted and math.max(0, now - tonumber(accepted)) or 0, now,
  redis.call('HGETALL', GATE),
}
