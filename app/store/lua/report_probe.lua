-- Reports to the gate what a probe found.
--
-- arg: token, way, problem (none: it was good), cooldown_ms, random (0..1)
-- → 'seen' (the way is good) | 'half_open' | 'blocked' | 'ignored' (another worker's lease)

-- include relay
-- include changes
-- include gate

begin_writing()
local gate = read_gate()

-- How long it has failed and why, for operators; `scope` is the way, or the breaker.
local function note_failure(scope)
  redis.call('HSET', GATE, 'probe_problem:' .. scope, arg.problem,
    'probe_failing_since:' .. scope, gate['probe_failing_since:' .. scope] or now, 'probe_failed_at:' .. scope, now)
end

local function end_lease(scope)
  redis.call('HDEL', GATE, 'probe:' .. scope, 'probe_until:' .. scope, 'probe_problem:' .. scope,
    'probe_failing_since:' .. scope, 'probe_failed_at:' .. scope)
end

if gate['probe:' .. arg.way] == arg.token then
  if arg.problem then
    note_failure(arg.way)
    redis.call('HSET', GATE, 'probe_until:' .. arg.way, now + arg.cooldown_ms)
    redis.call('HDEL', GATE, 'probe:' .. arg.way)
    return 'blocked'
  end
  redis.call('HSET', GATE, 'way:' .. arg.way, now)
  end_lease(arg.way)
  ring_bell()
  return 'seen'
end

if gate['probe:breaker'] ~= arg.token then return 'ignored' end
if arg.problem then
  note_failure('breaker')
  trip_breaker(gate, 'probe')
  return 'blocked'
end
redis.call('HSET', GATE, 'state', 'half_open')
end_lease('breaker')
return 'half_open'
