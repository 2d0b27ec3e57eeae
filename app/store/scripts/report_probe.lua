-- Reports to the gate what a probe found.
--
-- arg: token, url (hash of the base URL), is_good, reason, cooldown_ms, random (0..1)
-- → 'seen' (the base URL is good) | 'half_open' | 'blocked' | 'ignored' (another worker's lease)

-- include relay
-- include changes
-- include gate

local gate = as_table(redis.call('HGETALL', GATE))

if gate['probe:' .. arg.url] == arg.token then
  redis.call('HDEL', GATE, 'probe:' .. arg.url, 'probe_until:' .. arg.url)
  if arg.is_good then
    redis.call('HSET', GATE, 'url:' .. arg.url, now)
    ring_bell()
    return 'seen'
  end
  redis.call('HSET', GATE, 'probe_until:' .. arg.url, now + arg.cooldown_ms)
  return 'blocked'
end

if gate['probe:breaker'] ~= arg.token then return 'ignored' end
if arg.is_good then
  redis.call('HDEL', GATE, 'probe:breaker', 'probe_until:breaker')
  redis.call('HSET', GATE, 'state', 'half_open')
  return 'half_open'
end
trip_breaker(gate, arg.reason)
return 'blocked'
